"""Enumeration: filters, orders, pages."""

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError
from huggingface_hub.utils import get_session
from localhub_repos import MakeRepo

from hubdna.localhub import LocalHub


@pytest.fixture(autouse=True)
def models(make_repo: MakeRepo) -> None:
    make_repo("acme/base", {"README.md": "---\ntags: [x]\n---\n"}, created_at="2020-01-01", downloads=5)
    make_repo("acme/tuned", {"README.md": "---\nbase_model: acme/base\ntags: [x, y]\n---\n"}, created_at="2021-01-01")
    make_repo(
        "zeta/lora",
        {"README.md": "---\nbase_model: acme/base\n---\n", "adapter_config.json": "{}"},
        created_at="2022-01-01",
        downloads=9,
        gated="auto",
    )
    make_repo("zeta/tuned-again", {"README.md": "---\nbase_model: acme/tuned\n---\n"}, created_at="2023-01-01")
    make_repo("zeta/plain", {"config.json": '{"model_type": "bert"}'}, created_at="2024-01-01")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "plain tuned-again lora tuned base"),
        ({"filter": "base_model:acme/base"}, "lora tuned"),
        ({"filter": "base_model:finetune:acme/base"}, "tuned"),
        ({"filter": "base_model:adapter:acme/base"}, "lora"),
        ({"filter": ["x", "y"]}, "tuned"),
        ({"filter": ["x", "no-such-tag"]}, ""),
        ({"filter": "bert"}, "plain"),
        ({"author": "acme"}, "tuned base"),
        ({"author": "acm"}, ""),
        ({"search": "TUNED"}, "tuned-again tuned"),
        ({"gated": True}, "lora"),
        ({"gated": False, "author": "zeta"}, "plain tuned-again"),
        ({"sort": "created_at", "limit": 3}, "plain tuned-again lora"),
        ({"sort": "downloads", "limit": 2}, "lora base"),
        ({"sort": "last_modified", "author": "acme", "search": "base"}, "base"),
    ],
)
def test_queries(api: HfApi, query: dict[str, object], expected: str) -> None:
    assert [model.id.partition("/")[2] for model in api.list_models(**query)] == expected.split()


def test_pages_follow_links(hub: LocalHub, api: HfApi) -> None:
    assert len(list(api.list_models(expand=["sha"]))) == 5
    assert [request.path for request in hub.traffic.requests] == ["/api/models"] * 3


def test_a_repo_that_appears_between_pages_shifts_nothing(api: HfApi, make_repo: MakeRepo) -> None:
    listing = iter(api.list_models(sort="created_at"))
    seen = [next(listing).id, next(listing).id]
    make_repo("acme/newest", {"a.txt": ""}, created_at="2030-01-01")
    seen += [model.id for model in listing]
    assert seen == ["zeta/plain", "zeta/tuned-again", "zeta/lora", "acme/tuned", "acme/base"]


def test_expand_gives_what_was_asked_for_and_no_more(api: HfApi) -> None:
    (model,) = api.list_models(search="tuned-", expand=["baseModels", "sha", "gguf"])
    assert model.base_models["models"][0]["id"] == "acme/tuned"
    assert model.sha and model.tags is None and model.created_at is None
    (model,) = api.list_models(search="tuned-")
    assert model.sha is None and "base_model:acme/tuned" in model.tags


def test_full_card_and_config(api: HfApi) -> None:
    (model,) = api.list_models(search="tuned-", full=True, cardData=True)
    assert [file.rfilename for file in model.siblings] == ["README.md"]
    assert model.card_data.base_model == "acme/tuned"
    (model,) = api.list_models(filter="bert", fetch_config=True)
    assert model.config == {"model_type": "bert"}


@pytest.mark.parametrize(
    "query",
    [
        "cursor=garbage",
        "cursor=WzFd",
        "cursor=W3t9LCAieCJd",
        "cursor=WzEsICJ4Il0%3D",  # well formed, but of a listing sorted by a number
        "cursor=%C3%A9",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "sort=size",
        "expand=secrets",
        "num_parameters=min:6B",
    ],
)
def test_bad_queries_are_400(hub: LocalHub, query: str) -> None:
    answer = get_session().get(f"{hub.endpoint}/api/models?{query}")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_an_enormous_limit_is_a_page(hub: LocalHub) -> None:
    answer = get_session().get(f"{hub.endpoint}/api/models?limit={'9' * 5000}")
    assert (answer.status_code, len(answer.json())) == (200, 2)


def test_an_unsupported_filter_is_an_error_of_the_client(api: HfApi) -> None:
    with pytest.raises(BadRequestError, match="num_parameters"):
        list(api.list_models(num_parameters="min:6B"))
