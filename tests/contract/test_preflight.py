"""Access reviews on the range's API: what is granted, what is not, and what nobody says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cluster.access import AT_ONCE, REVIEWS, ReviewRefused, review
from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.rights import NEEDS, Feature, Right, rights_of
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.api import status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.session.preflight import ClusterStanding, check_rights
from tests.contract.authorizer import Authorizer, Grant
from tests.contract.served import Server, settings, watch

Json = dict[str, Any]
LIST_PODS = Right(verb="list", resource="pods")
ALL = rights_of(Feature)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return watch(monkeypatch)


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


def answering(server: Server, told: Any) -> None:
    """Let every review end so."""

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if request.path != REVIEWS:
            return None
        return told if isinstance(told, web.StreamResponse) else web.json_response(told, status=201)

    server.answer = answer


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {"allowed": False, "reason": "RBAC: clusterrole x not found"}}, False),
        ({"status": {"allowed": False, "denied": True, "evaluationError": "webhook"}}, False),
        ({"status": {"allowed": False, "evaluationError": "the authorizing webhook did not answer"}}, None),
        ({"status": {"allowed": "yes"}}, None),
        ({"status": {}}, None),
        ({"status": [True]}, None),
        ({}, None),
    ],
)
async def test_what_a_review_says(client: ClusterClient, server: Server, told: Json, expected: bool | None) -> None:
    answering(server, told)
    assert await review(client, [(LIST_PODS, "")]) == {(LIST_PODS, ""): expected}


@pytest.mark.parametrize("code", [401, 403, 404, 405, 500])
async def test_a_server_that_answers_no_review_is_asked_once(client: ClusterClient, server: Server, code: int) -> None:
    answering(server, status(code, "No", "no reviews here"))
    server.asked.clear()
    with pytest.raises(ReviewRefused):
        await review(client, [(right, "") for right in ALL])
    assert len(server.asked) == 1


async def test_a_review_that_is_html_is_not_known(client: ClusterClient, server: Server) -> None:
    answering(server, web.Response(text="<html>log in</html>", content_type="text/html"))
    with pytest.raises(ReviewRefused, match="no JSON"):
        await review(client, [(LIST_PODS, "")])


async def test_reviews_run_side_by_side_a_few_at_once(client: ClusterClient, server: Server) -> None:
    under_way, most = 0, 0

    async def answer(request: web.Request) -> web.StreamResponse | None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return None

    server.answer = answer
    await review(client, [(right, namespace) for right in ALL for namespace in ("", "shop")])
    assert most == AT_ONCE


async def standing(training: TrainingRange, *vantages: str, **others: Any) -> ClusterStanding:
    chosen = settings(training, *vantages, **others)
    (told,) = await check_rights(chosen, ("range",))
    return told


async def test_each_vantage_stands_in_its_own_namespace(training: TrainingRange, server: Server) -> None:
    own = {(right.verb, right.group, right.resource) for right in rights_of([Feature.OWN_PODS], optional=False)}
    granted = {Grant("shop", *right) for right in own} | {Grant("", "list", "", "nodes")}
    server.answer = Authorizer(granted)
    told = await standing(
        training, "local", "pod:shop", "pod:ops", "pod:shop@n1", "pod:shop/web-6d4f9", "node:n1", discovery=True
    )
    assert told.version.startswith("v1.")
    works = {each.wanted.subject: each.works for each in told.standings}
    assert works == {
        "discovery": False, "pod:shop": True, "pod:ops": False, "pod:shop@n1": True, "pod:shop/web-6d4f9": True,
        "node:n1": False,
    }  # fmt: skip
    *shown, last = told.lines(each.wanted for each in told.standings)
    assert "kubeshield rbac" in last
    lines = dict(line.removeprefix("• ").split(": ", 1) for line in shown)
    assert lines["pod:ops"] == "not granted in ops: get, create, delete pods; get pods/exec; create, delete leases"
    assert lines["pod:shop"] == "works without create pods/exec; get, update, list leases; list pods"
    discovery = told.standings[0]
    assert Right(verb="list", resource="nodes") not in discovery.missing
    assert len(discovery.missing) == len(NEEDS[Feature.DISCOVERY]) - 1


async def test_only_reviews_and_the_version_are_asked(training: TrainingRange, server: Server) -> None:
    server.asked.clear()
    await standing(training, "pod:shop", "node:n1", discovery=True, per_namespace=True, per_node=True)
    assert set(server.asked) == {("GET", "/version"), ("POST", REVIEWS)}


async def test_no_answer_is_not_known_and_never_no(training: TrainingRange, server: Server) -> None:
    answering(server, status(403, "Forbidden", "no reviews for you"))
    told = await standing(training, "pod:shop", discovery=True)
    assert "no reviews for you" in told.refused
    assert [each.works for each in told.standings] == [None, None]
    assert any("no access review is answered" in line for line in told.lines([]))


async def test_a_cluster_that_can_not_be_reached_is_a_sentence(training: TrainingRange) -> None:
    broken = training.kubeconfig.with_name("broken")
    broken.write_text(re.sub(r"https://127.0.0.1:\d+", "https://127.0.0.1:1", training.kubeconfig.read_text()))
    (told,) = await check_rights(settings(training, "pod:shop", kubeconfig=broken), ("range",))
    assert "can't be reached" in told.problem
    assert list(told.lines([])) == [f"• range: {told.problem}"]


async def test_a_server_that_keeps_its_version_to_itself_is_used_all_the_same(
    training: TrainingRange, server: Server
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse | None:
        return status(403, "Forbidden", "no version") if request.path == "/version" else None

    server.answer = answer
    told = await standing(training, "pod:shop", discovery=True)
    assert (told.version, told.problem) == ("", "")
    assert all(each.works for each in told.standings)


def test_a_namespace_of_another_cluster_is_asked_there() -> None:
    from kubeshield_tui.session.preflight import wanted_in
    from kubeshield_tui.settings.schema import Settings

    chosen = Settings(vantages=(parse_vantage("pod:shop"), parse_vantage("pod:shop", "spare")), discovery=False)
    assert [each.subject for each in wanted_in(chosen, "main", "main")] == ["pod:shop"]
    assert [each.subject for each in wanted_in(chosen, "spare", "main")] == ["pod:shop@@spare"]
