"""Words for the small language models of the pair sets: byte-pair and word-piece vocabularies, text as token ids.

The text is `corpora`'s. Two things here matter to lineage tests. A byte-pair vocabulary may carry 48 reserved tokens
at its end, as Llama 3's does, and BERT's carries `[unused0]` and so on at its start: rows of the embedding that no
text ever touches.
"""

import functools
import json
from pathlib import Path

import corpora
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS, CUT, RESERVED, UNUSED = 1024, 768, 48, 64
BYTES = {"code": 900_000}  # of each mix; the others are where fine-tunes go
OTHER_BYTES = 300_000


@functools.cache
def text(mix: str) -> tuple[str, str]:
    """Returns (training text, held-out text) of a mix."""
    train, held_out = corpora.load(mix)
    limit = BYTES.get(mix, OTHER_BYTES)
    return _decode(train[:limit]), _decode(held_out[: limit // 6])


@functools.cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Returns a vocabulary: ``bpe``, ``bpe-reserved``, ``bpe-cut`` (its first 768 tokens) or ``wordpiece``."""
    if name == "wordpiece":
        return _word_pieces()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CUT if name == "bpe-cut" else WORDS,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([text("code")[0]], trainer)
    if name == "bpe-reserved":
        made.add_special_tokens([AddedToken(word, special=True) for word in reserved()])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@functools.cache
def ids(name: str, mix: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns (training ids, held-out ids) of a mix under a vocabulary."""
    train, held_out = (tokenizer(name).encode(part, add_special_tokens=False) for part in text(mix))
    return torch.tensor(train), torch.tensor(held_out)


def save(name: str, folder: Path) -> None:
    """Writes the files of a vocabulary; newer transformers leave out two that older ones and most repos have."""
    made = tokenizer(name)
    made.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    flags = ("lstrip", "normalized", "rstrip", "single_word", "special")
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["added_tokens_decoder"] = {
        str(number): {"content": token.content} | {flag: getattr(token, flag) for flag in flags}
        for number, token in sorted(made.added_tokens_decoder.items())
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if name == "wordpiece":
        words = sorted(made.get_vocab(), key=made.get_vocab().__getitem__)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def reserved() -> list[str]:
    """Returns the names of the reserved tokens."""
    return [f"<|reserved_special_token_{n}|>" for n in range(RESERVED)]


def _word_pieces() -> PreTrainedTokenizerFast:
    """Returns a vocabulary in BERT's order: padding, unused names, the special tokens, then word pieces."""
    special = ["[PAD]", *(f"[unused{n}]" for n in range(UNUSED)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=WORDS, special_tokens=special, show_progress=False)
    made.train_from_iterator([text("code")[0]], trainer)
    ends = [(word, made.token_to_id(word)) for word in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{word.lower()}_token": f"[{word}]" for word in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _decode(raw: torch.Tensor) -> str:
    """Returns bytes that `corpora` holds as integers as text again."""
    return bytes(raw.tolist()).decode("utf-8", errors="replace")
