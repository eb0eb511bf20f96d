"""Audits of the demo's models, as the auditor made them."""

import pytest

from hubdna.audit import Auditor
from hubdna.crawl import crawl
from hubdna.demo import HERE
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Audit, ModelRef
from hubdna.store import IndexDir


@pytest.fixture(scope="session")
def demo_audits(tmp_path_factory: pytest.TempPathFactory) -> list[Audit]:
    """Audits of all models of the demo, and of one that is not there."""
    path = tmp_path_factory.mktemp("report") / "index"
    with LocalHub(HERE / "models") as hub, IndexDir(path, create=True) as index:
        client = Hub(hub.endpoint)
        list(crawl(client, index, client.models()))
        refs = [*(entry.ref.repo_id for entry in index.entries()), "nobody/nothing"]
        return list(Auditor(index, Loader(hub.endpoint)).audit(map(ModelRef, refs)))
