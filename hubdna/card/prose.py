"""README.md -> sentences in which an author says that the model was trained from scratch.

Cards say it in many languages, and say many things that look like it: that the tokenizer was, that another model was,
that this one was *not*. A sentence counts when a phrase of the list stands in it, what was trained is the model, and
nothing in it denies, compares or instructs. Missing one is cheap; reading one into a card is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hubdna.card.front import read_front
from hubdna.errors import CardError

MAX_SENTENCE = 400
"""Characters; longer ones are no sentences."""
MAX_PROSE = 200_000
"""Characters of a card that are looked at."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a card and the line it begins on (1-based)."""

    text: str
    line: int


_TRAINED = r"(?:pre-?\s?)?train(?:ed|ing)?"
SAYS = re.compile(
    "|".join(
        (
            rf"\b{_TRAINED}\b[^.;:]{{0,60}}?\bfrom\s+(?:scratch|zero|the\s+ground\s+up|random\s+(?:init\w*|weights))",
            r"\bfrom[- ]scratch\s+(?:pre-?)?train(?:ed|ing)\b",
            r"\b(?:randomly\s+initiali[sz]ed\s+and\s+(?:pre-?)?trained)\b",
            r"从(?:零|头|零开始|头开始)(?:开始)?(?:进行)?(?:的)?(?:预)?训练|(?:预)?训练自零开始",
            r"從(?:零|頭)(?:開始)?(?:進行)?(?:的)?(?:預)?訓練",
            r"(?:スクラッチ|ゼロ)(?:から|で)(?:の)?(?:事前)?(?:学習|訓練)|フルスクラッチ(?:で|から)?(?:の)?(?:開発|学習)",
            r"처음부터\s*(?:새로\s*)?(?:사전\s*)?(?:학습|훈련)",
            r"\bvon\s+(?:grund\s+auf|null\s+auf)\s+(?:neu\s+)?(?:vor)?trainiert",
            r"\b(?:vanaf|van)\s+(?:nul|scratch|de\s+grond)\s+(?:af\s+)?(?:op\s+)?(?:voor)?getraind",
            r"\b(?:pré-?)?entra[iî]n[ée]e?s?\b[^.;:]{0,40}?\b(?:à\s+partir\s+de\s+z[ée]ro|de\s+z[ée]ro|from\s+scratch)",
            r"\b(?:pre-?)?entrenad[oa]s?\b[^.;:]{0,40}?\bdesde\s+cero\b",
            r"\b(?:pr[ée]-?)?treinad[oa]s?\b[^.;:]{0,40}?\b(?:do|a\s+partir\s+do|desde\s+o)\s+zero\b",
            r"\b(?:pre-?)?addestrat[oa]\b[^.;:]{0,40}?\bda\s+zero\b",
            r"\b(?:пред)?обучен\w*\b[^.;:]{0,40}?\bс\s+нуля\b|\bс\s+нуля\s+(?:пред)?обучен\w*",
            r"\b(?:wy)?trenowan\w*\b[^.;:]{0,40}?\bod\s+(?:zera|podstaw)\b",
            r"\bsıfırdan\s+(?:ön\s+)?eğitil\w*",
            r"(?:تم\s+)?(?:تدريب\S*)[^.؛:]{0,40}?من\s+الصفر",
        )
    ),
    re.IGNORECASE,
)
DENIES = re.compile(
    r"\w+n['’]t\b|\b(?:not|never|without|instead\s+of|rather\s+than|unlike|than|versus|vs|compared|comparison|instead|whereas|if"
    r"|cannot|avoid\w*|can|could|would|should|may|might|need\w*|want|how\s+to|expensive|costly|no\s+need|let'?s|your|you"
    r"|neither|nor|either|hardly|will|shall|going\s+to|plan(?:s|ned|ning)?|next\s+(?:version|release|generation|model)|future|soon"
    r"|niet|geen|zonder|nicht|kein\w*|statt|anstatt|ohne|pas|sans|au\s+lieu|plutôt|jamais|no|sin|nunca|jamás|en\s+lugar"
    r"|não|sem|em\s+vez|non|senza|invece|не|без|вместо|nie|zamiast|bez|değil|yerine)\b"
    r"|不是|并非|並非|而非|无需|無需|没有|沒有|不用|不必|未|ではなく|ではない|ません|なく|ない|不要|아니|않|대신|없이|ليس|بدلا|لم|دون",
    re.IGNORECASE,
)
PART = re.compile(
    r"\b(?:tokeni[sz]er\w*|vocabulary|head|heads|classifier|layer|layers|adapter\w*|lora|projector|projection|connector|embedding\s+layer"
    r"|decoder|encoder|vae|probe|probes|baseline\w*|competitor\w*|others?|teacher|reward\s+model|draft|bpe|sentencepiece|module\w*|block\w*"
    r"|(?:the|its|whose|our|their)\s+(?:base|parent|original|underlying|backbone|starting)|basismodell\w*|modèle\s+de\s+base"
    r"|modelo\s+base|modello\s+base|базов\w+\s+модел\w+|tokenizador|tokenizzatore|токенизатор\w*|tête|kopf|cabeza)\b|基座|基础模型|基礎模型|ベースモデル|기반\s*모델|分词器|分詞器|トークナイザ|토크나이저",
    re.IGNORECASE,
)


def from_scratch(card: str) -> Statement | None:
    """Find the first sentence in which a card says that its model was trained from scratch.

    Args:
        card: README.md. Front matter, code, quotations of others, tables and links' addresses are not looked at.

    Returns:
        The sentence, or None. A sentence about a part of the model, another model, or a denial is none.
    """
    return next((s for s in _sentences(card) if _says(s.text)), None)


def _says(text: str) -> bool:
    if len(text) > MAX_SENTENCE or text.endswith(("?", "？", "؟")):
        return False
    return bool(SAYS.search(text)) and not DENIES.search(text) and not PART.search(text)


_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_ADDRESS = re.compile(r"\]\([^)\n]{0,500}\)|https?://\S+|<[^>\n]{0,300}>|`[^`\n]*`")
_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])")


def _sentences(card: str) -> Iterator[Statement]:
    """Sentences of the running text; one may go over several lines, none over a blank one."""
    paragraph: list[tuple[int, str]] = []
    for number, line in (*_prose(card), (0, "")):
        if line.strip():
            paragraph.append((number, line))
            continue
        yield from _cut(paragraph)
        paragraph = []


def _prose(card: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of the body; what is no running text is blank, and list items and headings stand alone."""
    skip, fence = _front_lines(card), None
    for number, line in enumerate(card[:MAX_PROSE].split("\n"), 1):
        opened = _FENCE.match(line)
        if opened and (fence is None or opened[1].startswith(fence)):
            fence = opened[1] if fence is None else None
        elif number > skip and fence is None and not line.lstrip().startswith((">", "|", "    ")):
            if re.match(r"\s*(?:[-*+]|\d+[.)]|#+)\s", line):
                yield number, ""
            yield number, _plain(line)
            continue
        yield number, ""


def _front_lines(card: str) -> int:
    try:
        front = read_front(card)
    except CardError:  # it opens a block and never closes it: all of it may be YAML
        return MAX_PROSE
    return front.line if front else 0


def _plain(line: str) -> str:
    text = "".join(c for c in line if unicodedata.category(c) != "Cf")
    return re.sub(r"[*_#]+", "", _ADDRESS.sub(" ", text))


def _cut(paragraph: list[tuple[int, str]]) -> Iterator[Statement]:
    """Sentences of one paragraph, each with the line of its first character."""
    if not paragraph:
        return
    text = "\n".join(line for _, line in paragraph)
    starts = [0, *(m.end() for m in _END.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        sentence = text[start:end]
        if sentence.strip():
            lead = start + len(sentence) - len(sentence.lstrip())
            yield Statement(" ".join(sentence.split()), paragraph[text.count("\n", 0, lead)][0])
