"""One card in many hands: the same facts, written in all the ways that YAML and people allow.

A form takes front matter and text and gives the bytes of README.md. Forms of the file leave the facts as they stand;
forms of the values write `base_model`, `base_model_relation` and `license` in other words of YAML that read the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

KEYS = r"(base_model|base_model_relation|license)"
LINE = re.compile(rf"^{KEYS}: (?P<value>[^\n\[\]{{}}\"'>|&*!#][^\n]*)$", re.MULTILINE)
"""A plain scalar of one of our keys."""
OTHERS = """language:
- en
- 日本語
- "ru"
tags:
- base_model:decoy/tag
- "#hash"
datasets: [squad, 'our/own: data']
model-index:
- name: decoy
  results:
  - task: {type: text-generation, name: Текст}
    base_model: decoy/nested
    license: decoy
    metrics:
    - {type: loss, value: 1.5e-3}
widget:
- text: "a: b # no comment"
co2_eq_emissions: {emissions: 0.1}
"""
PROSE = """
## 概要

このモデルは小さな実験です。データは自分たちで集めました。

## Обзор

Небольшой эксперимент. Данные собраны нами.

## نظرة عامة

تجربة صغيرة على بياناتنا.

| a | b |
|---|---|
| 1 | `x: y` |

```yaml
base_model: decoy/in-a-code-block
license: decoy
```

<details><summary>More</summary>A small experiment. 🙂</details>
"""


def whole(front: str, text: str) -> str:
    """The card as people write it."""
    return f"---\n{front.rstrip()}\n---\n\n{text.rstrip()}\n"


def values(change: Callable[[str, str], str]) -> Callable[[str, str], bytes]:
    """A form of the values: (key, value) -> lines."""
    return lambda front, text: whole(LINE.sub(lambda m: change(m[1], m["value"].strip()), front), text).encode()


def names(change: Callable[[str], str]) -> Callable[[str, str], bytes]:
    """A form of `base_model` alone: its value -> what follows the key."""
    return values(lambda key, value: f"{key}:{change(value)}" if key == "base_model" else f"{key}: {value}")


def file(change: Callable[[str], str]) -> Callable[[str, str], bytes]:
    """A form of the whole file."""
    return lambda front, text: change(whole(front, text)).encode()


def _escaped(value: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" if c in "/-aeiou" else c for c in value) + '"'


def _mapping(front: str, text: str) -> bytes:
    """All front matter as one flow mapping; only for plain `key: value` lines."""
    pairs = [line.partition(": ") for line in front.strip().splitlines()]
    return whole("{" + ", ".join(f'"{k}": "{v}"' for k, _, v in pairs) + "}", text).encode()


FORMS: dict[str, Callable[[str, str], bytes]] = {
    "plain": lambda front, text: whole(front, text).encode(),
    "crlf": file(lambda card: card.replace("\n", "\r\n")),
    "bom": file(lambda card: "\ufeff" + card),
    "blank first": file(lambda card: "\n\n" + card),
    "no last newline": file(str.rstrip),
    "fences with spaces": file(lambda card: card.replace("---\n", "---  \n")),
    "only front matter": lambda front, text: f"---\n{front.rstrip()}\n---".encode(),
    "comments": lambda front, text: whole(
        "# ours\n" + front.replace("\n", "  # a remark\n# base_model: no/no\n"), text
    ).encode(),
    "among others": lambda front, text: whole(OTHERS + front, text).encode(),
    "before others": lambda front, text: whole(front.rstrip() + "\n" + OTHERS, text).encode(),
    "many languages": lambda front, text: (whole(front, text) + PROSE).encode(),
    "indented": lambda front, text: whole(re.sub(r"^(?=[^\n])", "  ", front, flags=re.MULTILINE), text).encode(),
    "mapping": _mapping,
    "single quotes": values(lambda key, value: f"{key}: '{value}'"),
    "double quotes": values(lambda key, value: f'{key}: "{value}"'),
    "escapes": values(lambda key, value: f"{key}: {_escaped(value)}"),
    "folded": values(lambda key, value: f"{key}: >-\n  {value}"),
    "literal": values(lambda key, value: f"{key}: |\n  {value}"),
    "tagged": values(lambda key, value: f"{key}: !!str {value}"),
    "anchored": values(lambda key, value: f"x-{key}: &{key} {value}\n{key}: *{key}"),
    "remark behind": values(lambda key, value: f"{key}: {value}   # as on the Hub: yes/no"),
    "spaces": values(lambda key, value: f"{key}  :    {value}   "),
    "quoted keys": values(lambda key, value: f'"{key}": {value}'),
    "explicit keys": values(lambda key, value: f"? {key}\n: {value}"),
    "next line": values(lambda key, value: f"{key}:\n  {value}"),
    "flow list": names(lambda value: f" [{value}]"),
    "flow list, quoted": names(lambda value: f' [ "{value}" , ]'),
    "flow list in lines": names(lambda value: f" [\n  {value},\n]"),
    "block list": names(lambda value: f"\n- {value}"),
    "indented list": names(lambda value: f"\n    -   '{value}'  # it\n"),
    "list with a null": names(lambda value: f"\n- {value}\n-\n"),
    "named twice": names(lambda value: f"\n- {value}\n- {value}"),
}  # fmt: skip
"""Name -> (front matter, text) -> README.md."""
