"""The printed roles against the requests that are made: nothing is missing, nothing too much, each can be lacking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubeshield_tui.cli.main import run
from kubeshield_tui.cluster.client import connect
from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.cluster.rights import NEEDS, Feature, Right
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.range import api
from kubeshield_tui.range.api import status
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.report.outcome import exit_code
from kubeshield_tui.report.text import report_text
from kubeshield_tui.session.coverage import untested
from kubeshield_tui.session.session import Session
from kubeshield_tui.session.store import Store
from kubeshield_tui.vantages import own_pod, pod_objects
from kubeshield_tui.vantages.sweep import sweep
from tests.contract.authorizer import Authorizer, Grant, grants
from tests.contract.served import Server, all_objects, settings, targets, watch

OLD = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(own_pod, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(pod_objects, "LEASE_SECONDS", 0.3)  # so that a short run renews its Lease too
    return watch(monkeypatch)


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


def printed(capsys: pytest.CaptureFixture[str], *features: str, namespaces: tuple[str, ...] = ()) -> set[Grant]:
    """What `kubeshield rbac` prints, taken apart."""
    arguments = [word for feature in features for word in ("--feature", feature)]
    arguments += [word for namespace in namespaces for word in ("--namespace", namespace)]
    assert run(["rbac", "--format", "json", *arguments]) == 0
    return set(grants(json.loads(capsys.readouterr().out)["items"]))


def text_of(store: Store) -> list[str]:
    return report_text(store).splitlines()


async def leave_behind(training: TrainingRange, *namespaces: str) -> None:
    """What a run leaves that was killed long ago."""
    client = await connect("range", training.kubeconfig)
    for namespace in namespaces:
        lease = pod_objects.lease(namespace, "kubeshield-old", "me", OLD)
        made = await client.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", body=lease)
        pod = pod_objects.probe_pod(namespace, "kubeshield-old", made["metadata"]["uid"], "python:3-slim")
        await client.request("POST", f"/api/v1/namespaces/{namespace}/pods", body=pod)
    await client.close()


async def use(feature: str, training: TrainingRange, tmp_path: Path) -> Session | None:
    """Use a feature as a user would; returns the session where there is one."""
    if feature == "sweep":
        client = await connect("range", training.kubeconfig)
        await sweep(client)
        await client.close()
        return None
    chosen: dict[str, Any] = {
        "discovery": {"discovery": True, "vantages": ()},
        "exec": {},
        "own-pods": {"consent": True},
        "node-pods": {"consent": True},
        "per-namespace": {"consent": True, "per_namespace": True},
        "per-node": {"consent": True, "per_node": True},
    }[feature]
    names = {"exec": ["pod:shop/web-6d4f9"], "own-pods": ["pod:shop"], "node-pods": ["pod:shop@n2"]}.get(feature, [])
    # One that answers, and one that is silent long enough for a Lease to be renewed.
    given = targets(tmp_path, "10.96.1.10:80", "198.51.100.77:80")
    session = Session(settings(training, *names, **{"targets": given, **chosen}))
    await session.audit()
    return session


NAMESPACES = {"exec": ("shop",), "own-pods": ("shop",), "node-pods": ("shop",)}
LEFT_IN = {"own-pods": ("shop",), "node-pods": ("shop",), "per-namespace": ("shop",), "per-node": ("default",),
           "sweep": ("ops",)}  # fmt: skip
ELSEWHERE = {Feature.WATCH, Feature.SELFTEST, Feature.OTHER_POLICIES, Feature.REMEDIES}
ASKED = [feature.value for feature in Feature if feature not in ELSEWHERE]
"""All but what is tried elsewhere: a live session below, a self-test where policies are enforced for real, and other
policies where a server has them (test_live_policies), remedies where policies can be made."""


@pytest.mark.parametrize("feature", ASKED)
async def test_the_printed_roles_are_what_is_used_and_nothing_more(
    feature: str, training: TrainingRange, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await all_objects(training)
    await leave_behind(training, *LEFT_IN.get(feature, ()))
    server.answer = authorizer = Authorizer(printed(capsys, feature, namespaces=NAMESPACES.get(feature, ())))
    session = await use(feature, training, tmp_path)
    server.answer = None
    if session is not None:
        assert all(each.status is VantageStatus.CLOSED for each in session.store.vantages.values())
        assert session.store.denied == []
    # Whoever could make no namespace has left none: a sweep looks and goes on.
    assert set(authorizer.refused) <= ({Grant("", "list", "", "namespaces")} if feature == "sweep" else set())
    assert authorizer.granted - authorizer.used == set()
    assert authorizer.outside <= {("GET", "/version"), ("GET", "/apis")}
    assert await all_objects(training) == before


async def test_a_pod_that_reads_a_node_uses_no_more_rights_than_one_that_asks_from_it(
    training: TrainingRange,
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "violations", lambda spec: [])  # as where a namespace enforces `privileged`
    before = await all_objects(training)
    server.answer = authorizer = Authorizer(printed(capsys, "node-pods"))
    given = targets(tmp_path, "10.96.1.10:80")
    session = Session(
        settings(training, "node:n2", targets=given, consent=True, read_firewalls=True, firewall_pods=True)
    )
    await session.audit()
    server.answer = None
    assert len(session.store.removed) == 4  # a Lease and a pod each: the vantage's, the reader's
    assert authorizer.refused == []
    assert await all_objects(training) == before


async def test_the_dashboard_lists_and_watches_each_kind_and_nothing_more(
    training: TrainingRange, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    granted = printed(capsys, "watch")
    server.answer = authorizer = Authorizer(granted)
    session = Session(settings(training, "pod:shop/web-6d4f9", discovery=True))
    running = asyncio.create_task(session.run())
    async with asyncio.timeout(20):
        while {each for each in granted - authorizer.used if each.verb == "watch"}:
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert granted == authorizer.used
    assert {(each.verb, each.resource) for each in authorizer.refused} == {("get", "pods")}  # the vantage's
    assert session.store.denied == []


def reduced(granted: set[Grant], lacking: Grant) -> set[Grant]:
    assert lacking in granted
    return granted - {lacking}


FOUND = [need.rights[0] for need in NEEDS[Feature.DISCOVERY]]


@pytest.mark.parametrize("lacking", FOUND, ids=lambda right: right.resource)
async def test_discovery_without_one_list_says_what_it_does_not_see_and_goes_on(
    lacking: Right, training: TrainingRange, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = printed(capsys, "discovery")
    server.answer = Authorizer(reduced(whole, Grant("", "list", lacking.group, lacking.resource)))
    session = await use("discovery", training, tmp_path)
    assert session is not None
    store = session.store
    resource = f"{lacking.resource}.{lacking.group}" if lacking.group else lacking.resource
    assert f"list {resource}" in {denied.what for denied in store.denied}
    assert {denied.why for denied in store.denied} == {"forbidden"}
    assert any(line.startswith(f"not readable: list {resource} (forbidden); not seen: ") for line in text_of(store))
    assert store.endpoints
    assert exit_code(store, Severity.CRITICAL) == 0  # what may not be read is no cell that was not measured


async def test_discovery_that_may_read_nothing_is_no_all_clear(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    server.answer = Authorizer(set())
    session = await use("discovery", training, tmp_path)
    assert session is not None
    assert exit_code(session.store, Severity.CRITICAL) == 3
    assert "INCOMPLETE: cluster range: nothing could be read" in text_of(session.store)


async def test_an_older_resource_does_as_well(training: TrainingRange, server: Server, tmp_path: Path) -> None:
    lists = {Grant("", "list", right.group, right.resource) for right in FOUND}
    slices = Grant("", "list", "discovery.k8s.io", "endpointslices")
    server.answer = Authorizer(reduced(lists, slices) | {Grant("", "list", "", "endpoints")})
    session = await use("discovery", training, tmp_path)
    assert session is not None
    assert session.store.denied == []


async def test_a_version_that_is_kept_secret_keeps_nothing_else_back(
    training: TrainingRange, server: Server, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse | None:
        return status(403, "Forbidden", "no version") if request.path == "/version" else None

    server.answer = answer
    session = await use("discovery", training, tmp_path)
    assert session is not None
    assert session.store.endpoints
    assert [(each.what, each.why) for each in session.store.denied] == [("get /version", "not told")]
    assert any(
        line.startswith("not readable: get /version (not told); not seen: Which") for line in text_of(session.store)
    )
    assert session.store.clusters["range"].cluster.version == ""


# verb and resource that is lacking -> (does it open, what it says)
PODS = {
    ("get", "pods"): (False, "forbidden"),
    ("create", "pods"): (False, "forbidden"),
    ("delete", "pods"): (False, "may not delete pods there, so nothing was made that could not be removed"),
    ("get", "pods/exec"): (False, "exec in shop/"),
    ("create", "pods/exec"): (False, "exec in shop/"),
    ("create", "leases"): (False, "forbidden"),
    ("delete", "leases"): (False, "may not delete leases there"),
    ("get", "leases"): (True, ""),
    ("update", "leases"): (True, ""),
    ("list", "leases"): (True, ""),
    ("list", "pods"): (True, ""),
}


@pytest.mark.parametrize("lacking", PODS, ids=" ".join)
async def test_an_own_pod_without_one_right_works_or_says_so_and_leaves_nothing(
    lacking: tuple[str, str], training: TrainingRange, server: Server, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = set(await all_objects(training))
    opens, said = PODS[lacking]
    whole = printed(capsys, "own-pods", namespaces=("shop",))
    (grant,) = [each for each in whole if (each.verb, each.resource) == lacking]
    server.answer = Authorizer(reduced(whole, grant))
    session = await use("own-pods", training, tmp_path)
    server.answer = None
    assert session is not None
    (vantage,) = session.store.vantages.values()
    assert vantage.status is (VantageStatus.CLOSED if opens else VantageStatus.FAILED), vantage.detail
    if not opens:
        assert said in vantage.detail
        assert "kubeshield rbac --feature" in vantage.detail
        assert exit_code(session.store, Severity.CRITICAL) == 3
        assert len(list(untested(session.store))) == 2
    assert set(await all_objects(training)) == before
    assert session.store.left == []


def test_every_right_of_an_own_pod_is_taken_away_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert {(each.verb, each.resource) for each in printed(capsys, "own-pods", namespaces=("shop",))} == set(PODS)


async def test_servers_before_1_35_ask_no_create_of_an_exec(
    training: TrainingRange, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = printed(capsys, "exec", namespaces=("shop",))
    granted = reduced(whole, Grant("shop", "create", "", "pods/exec"))
    server.answer = Authorizer(granted, asks_create_of_exec=False)
    session = await use("exec", training, tmp_path)
    assert session is not None
    assert [each.status for each in session.store.vantages.values()] == [VantageStatus.CLOSED]


async def test_a_plain_audit_only_reads(training: TrainingRange, server: Server, tmp_path: Path) -> None:
    """Version, groups and lists: nothing else is sent with our credentials, and each list once."""
    given = targets(tmp_path, "10.96.1.10:80")
    await Session(settings(training, "local", discovery=True, targets=given)).audit()
    assert set(server.asked) == {("GET", "/version"), ("GET", "/apis")} | {("GET", kind.path) for kind in KINDS}
    assert len(server.asked) == len(KINDS) + 2
