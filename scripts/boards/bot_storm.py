"""A storm over a bot: real webhooks, real commits, forgeries, faults of the Hub, and SIGKILL.

The Hub is `hubdna localhub`, in this process; the bot is `hubdna bot serve --post`, a process of its own that is killed
and started again. Most models are copies of one that was really made from an indexed base and whose card is silent;
what must come of each is planned before the first event is sent, and counted on the Hub's disk at the end.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

from hubdna.bot import inbox, ledger, wishes
from hubdna.bot.state import State
from hubdna.crawl import crawl
from hubdna.demo import HERE
from hubdna.hub import Hub
from hubdna.localhub import Fault, LocalHub
from hubdna.store import IndexDir

BOT, SECRET = "storm-bot", "the-secret-of-the-storm"
BASE, DECLARED, SILENT = "bytewright/pyllama-245k", "bytewright/pyllama-245k-docs", "quietlab/doc-writer"
FATES = ("approved", "rejected", "opted out", "blocked", "forged", "honest")
SHARES = (10, 2, 2, 2, 2, 3)
"""Of each 21 models; `approved` twice as many as all others that could be spoken to."""
SETTLE_S = 3.0


@dataclass
class Plan:
    """What must come of each model."""

    fates: dict[str, str] = field(default_factory=dict)

    def of(self, fate: str) -> list[str]:
        """Models of one fate."""
        return [repo for repo, own in self.fates.items() if own == fate]


def prepare(root: Path, n_models: int) -> Plan:
    """A Hub's folder with the index's models and `n_models` others, each of an owner of its own."""
    for repo_id in (BASE, DECLARED):
        shutil.copytree(HERE / "models" / repo_id, root / repo_id)
    plan = Plan()
    wheel = [fate for fate, share in zip(FATES, SHARES, strict=True) for _ in range(share)]
    for n in range(n_models):
        fate = wheel[n % len(wheel)]
        repo_id = f"owner-{n:03}/model-{n:03}"
        shutil.copytree(HERE / "models" / (DECLARED if fate == "honest" else SILENT), root / repo_id)
        if fate == "opted out":
            path = root / repo_id / "README.md"
            path.write_text(path.read_text().replace("---\n", "---\nhubdna-bot: false\n", 1))
        plan.fates[repo_id] = fate
    return plan


def build_index(endpoint: str, place: Path) -> None:
    """An index of the base and its declared child."""
    client = Hub(endpoint)
    with IndexDir(place, create=True) as index:
        indexed = [m for m in client.models() if getattr(m, "ref", None) and m.ref.repo_id in (BASE, DECLARED)]
        assert all(step.outcome == "stored" for step in crawl(client, index, iter(indexed)))


def payload(repo_id: str, old: str, new: str) -> bytes:
    """A push to main, as the Hub tells it."""
    return json.dumps({
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {"type": "model", "name": repo_id, "id": "f" * 24, "private": False, "headSha": new},
        "updatedRefs": [{"ref": "refs/heads/main", "oldSha": old, "newSha": new}],
        "webhook": {"id": "e" * 24, "version": 3},
    }).encode()  # fmt: skip


@dataclass
class Server:
    """The bot's process: started, killed, started again on one port."""

    command: list[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, "HF_TOKEN": f"hf_{BOT}", "HUBDNA_WEBHOOK_SECRET": SECRET,
                       "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=environment, stderr=log, stdout=log)
        while not self.is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the bot ended by itself: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether it answers."""
        return asked(self.port, "GET", "/health")[0] == 200

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.deaths += 1

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def rss_mb(self) -> float:
        """Memory of the process."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


class Sender:
    """Delivers as a Hub that never gives up: until there is an answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[tuple[str, int, str]] = []

    def send(self, kind: str, body: bytes, secret: str = SECRET) -> None:
        """Deliver once."""
        while True:
            status, said = asked(self.port, "POST", "/", body, {"X-Webhook-Secret": secret})
            if 0 < status < 500:
                self.answers.append((kind, status, json.loads(said)["status"]))
                return
            time.sleep(0.2)


def asked(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of an answer; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def events(plan: Plan, n_events: int, rng: random.Random) -> list[tuple[str, bytes, str]]:
    """Kind, body and secret of each delivery: first deliveries, duplicates, late ones, forgeries, noise; shuffled."""
    told = [repo for repo, fate in plan.fates.items() if fate != "forged"]
    made: list[tuple[str, bytes, str]] = []
    for n, repo_id in enumerate(told):
        made += [("push", payload(repo_id, f"{k:040x}", f"{k + 1:040x}"), SECRET) for k in range(n * 10, n * 10 + 4)]
    pushes = list(made)
    while len(made) < n_events:
        kind = rng.choice(["duplicate", "forged", "own", "branch", "malformed"])
        repo_id = rng.choice(list(plan.fates))
        if kind == "duplicate":
            made.append((kind, rng.choice(pushes)[1], SECRET))
        elif kind == "forged":
            repo_id = rng.choice(plan.of("forged"))
            secret = rng.choice(["", "wrong", SECRET[:-1], SECRET + " x"])
            made.append((kind, payload(repo_id, "0" * 40, f"{len(made):040x}"), secret))
        elif kind == "own":
            comment = {"action": "create", "scope": "discussion.comment"}
            body = json.loads(payload(repo_id, "", "")) | {"event": comment, "discussion": {"num": 1}, "n": len(made)}
            made.append((kind, json.dumps(body).encode(), SECRET))
        elif kind == "branch":
            body = json.loads(payload(repo_id, "", "")) | {"updatedRefs": [{"ref": f"refs/pr/{len(made)}"}]}
            made.append((kind, json.dumps(body).encode(), SECRET))
        else:
            made.append((kind, b'{"event": ' + rng.randbytes(20), SECRET))
    rng.shuffle(made)
    return made


def judge_people(state: State, plan: Plan) -> None:
    """Two people at their queue: approve and reject as planned."""
    for one in ledger.listed(state, ("queued",)):
        to = "rejected" if plan.fates.get(one.repo_id) == "rejected" else "approved"
        ledger.decide(state, one.id, to, "ann", "today")  # type: ignore[arg-type]


def on_hub(root: Path, repo_id: str) -> list[dict[str, Any]]:
    """The bot's discussions on a model, as they lie on the Hub's disk."""
    folder = root / repo_id / ".hub" / "discussions"
    found = [json.loads(path.read_bytes()) for path in folder.glob("*.json")] if folder.is_dir() else []
    return [one for one in found if one["author"] == BOT]


def faults(rng: random.Random, n: int) -> list[Fault]:
    """What the Hub does wrong meanwhile: quotas, errors, and answers that come late while a comment is written."""
    made = [Fault("hang", path="/api/models/*/discussions/*", times=n, seconds=0.4)]
    for _ in range(n):
        kind = rng.choice(["429-retry-after", "500", "500", "500"])
        path = rng.choice(["/api/models/*", "*.safetensors", "README.md", "/api/models/*/discussions*", None])
        made.append(Fault(kind, path=path, times=1, seconds=0.0, repo="owner-*"))  # type: ignore[arg-type]
    return made


def is_quiet(state: State) -> bool:
    """Whether nothing waits for the bot."""
    return inbox.n_jobs(state)[0] == 0 and not ledger.listed(state)


def storm(
    place: Path, n_models: int, n_events: int, n_kills: int, seed: int, patience_s: float = 300, calm_after: bool = True
) -> dict[str, Any]:
    """Let it blow; what came of it. Raises TimeoutError when the bot does not come to rest."""
    rng = random.Random(seed)
    root, folder = place / "hub", place / "state"
    plan = prepare(root, n_models)
    with LocalHub(root) as hub, State(folder) as state:
        build_index(hub.endpoint, place / "index")
        for repo_id in plan.of("blocked"):
            wishes.block(state, repo_id.partition("/")[0], "ann", "today")
        server = Server([], _free_port(), place / "bot.log")
        server.command = [
            str(Path(sys.executable).parent / "hubdna"), "bot", "serve", "--post", "--state", str(folder), "--index",
            str(place / "index"), "--endpoint", hub.endpoint, "--port", str(server.port), "--per-day", "100000",
            "--patience", "0.3", "--settle", str(SETTLE_S),
        ]  # fmt: skip
        people = HfApi(hub.endpoint, "hf_ann")
        watched: Any = [{"type": "user", "name": repo.partition("/")[0]} for repo in plan.fates]
        for n in range(0, len(watched), 100):
            people.create_webhook(
                url=f"http://127.0.0.1:{server.port}/", watched=watched[n : n + 100], secret=SECRET,
                domains=["repo", "discussion"],
            )  # fmt: skip
        for fault in faults(rng, max(10, n_models // 2)):
            hub.misbehave(fault)
        server.start()
        found = _blow(hub, state, server, plan, events(plan, n_events, rng), n_kills, rng, patience_s)
        found |= {"models": len(plan.fates), **_count(root, plan), "counts": dict(state.counts())}
        if calm_after:
            found |= _aftermath(hub, root, state, server, plan, people, n_events, rng, patience_s)
        found |= {"exit_code": server.stop(), "log_has_token": f"hf_{BOT}" in server.log.read_text()}
        found["state_has_token"] = any(f"hf_{BOT}".encode() in p.read_bytes() for p in folder.iterdir())
    return found


def _blow(
    hub: LocalHub, state: State, server: Server, plan: Plan, made: list[tuple[str, bytes, str]], n_kills: int,
    rng: random.Random, patience_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Send everything while the server is killed again and again, and people approve."""
    sender, in_flight = Sender(server.port), 0
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(sender.send, *one) for one in made[: len(made) // 2]]
        for n in range(n_kills):
            death = time.monotonic() + rng.uniform(0.2, 6.0)
            while time.monotonic() < death:
                judge_people(state, plan)
                time.sleep(0.1)
            server.kill()
            in_flight += any(p.state == "posting" for p in ledger.listed(state))
            if n == n_kills // 2:
                sent += [pool.submit(sender.send, *one) for one in made[len(made) // 2 :]]
            server.start()
        for one in sent:
            one.result()
        _rest(state, plan, patience_s)
    words: dict[str, int] = {}
    for _, _, word in sender.answers:
        words[word] = words.get(word, 0) + 1
    forged = {status for kind, status, _ in sender.answers if kind == "forged"}
    return {
        "events": len(made), "answered": len(sender.answers), "answers": dict(sorted(words.items())),
        "forged_let_in": int(forged - {401} != set()), "kills": server.deaths, "kills_while_posting": in_flight,
    }  # fmt: skip


def _rest(state: State, plan: Plan, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    calm = 0
    while calm < 3:  # an event of its own may be on its way
        if time.monotonic() > deadline:
            waiting = [(p.repo_id, p.state, p.reason) for p in ledger.listed(state)][:5]
            raise TimeoutError(f"the bot does not come to rest: {inbox.n_jobs(state)} jobs, {waiting}")
        judge_people(state, plan)
        calm = calm + 1 if is_quiet(state) else 0
        time.sleep(0.3)


def _aftermath(
    hub: LocalHub, root: Path, state: State, server: Server, plan: Plan, people: HfApi, n_events: int,
    rng: random.Random, patience_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Count; then one process takes as many events again while models are changed: memory, and still one each."""
    hub.calm()
    told = Plan({repo_id: fate for repo_id, fate in plan.fates.items() if fate != "forged"})
    more = events(plan, n_events, rng)
    sender = Sender(server.port)
    rss: list[float] = []
    with ThreadPoolExecutor(8) as pool:
        for part in range(4):
            for repo_id in rng.sample(list(told.fates), min(20, len(told.fates))):
                card = (root / repo_id / "README.md").read_text() + f"\nPart {part}.\n"
                add = CommitOperationAdd("README.md", card.encode())
                people.create_commit(repo_id, [add], commit_message="one more line")  # its webhook is the Hub's own
            list(pool.map(lambda one: sender.send(*one), more[part::4]))
            hub.settle(30)
            _rest(state, plan, patience_s)
            rss.append(round(server.rss_mb(), 1))
    again = _count(root, plan)
    fixed = plan.of("approved")[:5]
    for repo_id in fixed:
        card = (root / repo_id / "README.md").read_text().replace("---\n", f"---\nbase_model: {BASE}\n", 1)
        people.create_commit(repo_id, [CommitOperationAdd("README.md", card.encode())], commit_message="fixed")
    hub.settle(30)
    _rest(state, plan, patience_s)
    closed = sum(d["status"] == "closed" for repo_id in fixed for d in on_hub(root, repo_id))
    return {
        "after_more": again, "rss_mb": rss, "fixed": len(fixed), "closed": closed,
        "comments_on_fixed": sum(len(on_hub(root, repo_id)) for repo_id in fixed),
    }  # fmt: skip


def _count(root: Path, plan: Plan) -> dict[str, Any]:
    """Models by fate, with none, one, or more comments."""
    table: dict[str, list[int]] = {fate: [0, 0, 0] for fate in FATES}
    for repo_id, fate in plan.fates.items():
        table[fate][min(2, len(on_hub(root, repo_id)))] += 1
    return {"by_fate": table, "extra_events": _unasked(root, plan)}


def _unasked(root: Path, plan: Plan) -> int:
    """Comments beyond the opening one: the bot answers nobody."""
    return sum(
        event["type"] == "comment"
        for repo_id in plan.fates
        for one in on_hub(root, repo_id)
        for event in one["events"][1:]
    )


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])
