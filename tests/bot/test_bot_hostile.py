"""Hostile repositories, through the whole bot: the card's text is quoted, bombs are refused, nobody is called."""

import re

import pytest
from bot_bench import CHILD, TOKEN, Bench
from bot_texts import HARMLESS, HOSTILE, tokens

from hubdna.bot import inbox, policy, wishes, words
from hubdna.localhub import Fault

pytestmark = pytest.mark.slow


def write(bench: Bench, card: str | bytes) -> None:
    (bench.root / CHILD / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode("utf-8", "replace"))


CHUNKS = [HOSTILE[n : n + 3] for n in range(0, len(HOSTILE), 3)]


@pytest.mark.parametrize("chunk", CHUNKS, ids=range(len(CHUNKS)))
def test_a_card_is_quoted_and_never_rendered(bench: Bench, chunk: list[str]) -> None:
    """The lines above and below the place of a patch stand in the patch."""
    lines = [line for evil in chunk for line in evil.encode("utf-8", "replace").decode().splitlines()]
    inside = "".join(f"# {line}\n" for line in lines if line.isprintable() or "\u200b" in line or "\u202e" in line)
    write(bench, f"---\nlicense: mit\n{inside}---\n" + "\n".join(lines) + "\n")
    bench.look(CHILD)
    one = bench.approve(CHILD)
    text = bench.text(CHILD)
    assert text == words.signed(one.body, one.id)
    assert set(tokens(one.body)) <= HARMLESS, set(tokens(one.body)) - HARMLESS
    assert not re.search(r"@\w", text)
    assert all(c.isprintable() or c in "\n\N{ZERO WIDTH JOINER}" for c in text)
    assert inbox.n_jobs(bench.state) == (0, 0) and bench.state.counts().get("defects", 0) == 0


BOMBS = {
    "ten megabytes of YAML": "---\n" + "a: b\n" * 2_000_000 + "---\n",
    "ten megabytes on one line": "---\nlicense: " + "x" * 10_000_000 + "\n---\n",
    "a bomb of aliases": "---\na0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    + "---\n",
    "ten thousand levels": "---\na: " + "[" * 10_000 + "\n---\n",
    "a tag that would run": "---\na: !!python/object/apply:os.system [true]\nlicense: mit\n---\n",
    "never closed": "---\nlicense: mit\n" + "x\n" * 1000,
    "a number that is too long": "---\nlicense: mit\nn: " + "9" * 100_000 + "\n---\n",
    "a base that is a bomb": "---\nbase_model: [" + "[" * 500 + "]" * 500 + "]\n---\n",
    "ten thousand bases": "---\nbase_model:\n" + "".join(f"- a/b{n}\n" for n in range(10_000)) + "---\n",
    "bytes": b"---\nlicense: \xff\xfe\x00\n---\n\x80",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_its_own_job_and_no_other(bench: Bench, name: str) -> None:
    write(bench, BOMBS[name])
    other = "mirrorhub/fast-code-lm"
    bench.look(CHILD, other)
    assert inbox.n_jobs(bench.state) == (0, 0)
    assert len(bench.waiting(other)) == 1
    for one in bench.waiting(CHILD):
        assert set(tokens(one.body)) <= HARMLESS and len(one.body) < 65_536
    assert bench.state.counts().get("defects", 0) == 0


def test_a_card_that_yaml_refuses_can_opt_out(bench: Bench) -> None:
    write(bench, "---\nhubdna-bot: false\na: &a [*a, *b\n")
    bench.look(CHILD)
    assert wishes.silence(bench.state, CHILD) == f"opted out: its card says {policy.OPT_OUT_KEY}: false"
    assert bench.waiting(CHILD) == []


def test_a_discussion_of_others_cannot_pass_for_ours(bench: Bench) -> None:
    """Somebody who knows the marker of a proposal cannot make the bot believe that it was posted."""
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    bench.people.create_discussion(CHILD, "x", description=f"x\n\n<!-- hubdna-bot proposal={one.id} -->")
    bench.approve(CHILD)
    assert len(bench.on_hub(CHILD)) == 1


def test_replies_are_not_answered(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    (thread,) = bench.on_hub(CHILD)
    for text in ("@hubdna-bot withdraw", "<!-- hubdna-bot proposal=000000000000 -->", "hubdna-bot: false"):
        bench.people.comment_discussion(CHILD, thread["num"], text)
        bench.look(CHILD)
        bench.later()
    (after,) = bench.on_hub(CHILD)
    assert [e["author"]["name"] for e in after["events"]] == ["hubdna-bot", "alice", "alice", "alice"]
    assert after["status"] == "open"


def test_the_token_is_in_no_file(bench: Bench) -> None:
    bench.hub.misbehave(Fault("500", path="/api/models/*/discussions*", times=5))
    bench.look(CHILD)
    bench.approve(CHILD)
    assert bench.state.counts()["hub_errors"] == 1
    bench.later()
    assert len(bench.on_hub(CHILD)) == 1
    for path in bench.state.folder.iterdir():
        assert TOKEN.encode() not in path.read_bytes()
