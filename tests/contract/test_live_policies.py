"""Policies of a live cluster: what is listed, what a refusal leaves unknown, and the command that asks."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.evidence.netpol.explain import decide
from kubeshield_tui.evidence.netpol.live import POLICY_LISTS, read_world
from kubeshield_tui.evidence.netpol.party import Question, parse_end
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.range.api import status
from kubeshield_tui.range.range import TrainingRange
from tests.contract.served import Server, watch

WEB, API, DB = "shop/web-6d4f9", "payments/api-7f8d6", "payments/db-0"
DENY_ALL = {"metadata": {"name": "lock", "namespace": "shop"}, "spec": {"podSelector": {}}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return watch(monkeypatch)


@pytest.fixture
async def training(server: Server) -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


def says(world: World, source: str, destination: str, port: int) -> str:
    one, other = parse_end(source), parse_end(destination)
    assert one is not None
    assert other is not None
    return decide(world, Question(source=one, destination=other, port=port)).value


def serve(server: Server, group: str, version: str, answers: dict[str, web.Response | list[dict[str, object]]]) -> None:
    """Let the API have one more group; lists of it answer with a refusal or with items."""

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/apis":
            versions = [{"groupVersion": f"{group}/{version}", "version": version}]
            core = {"name": "networking.k8s.io", "versions": [{"groupVersion": "networking.k8s.io/v1"}]}
            return web.json_response({"groups": [{"name": group, "versions": versions}, core, {"versions": 5}, 7]})
        found = answers.get(request.path.rpartition("/")[2])
        if found is None or not request.path.startswith("/apis/"):
            return None
        return found if isinstance(found, web.Response) else web.json_response({"items": found})

    server.answer = answer


async def test_the_policies_of_the_range(client: ClusterClient, server: Server) -> None:
    world, denied = await read_world(client)
    assert denied == ()
    assert says(world, WEB, API, 8443) == "allow"
    assert says(world, WEB, API, 8444) == "deny"
    assert says(world, WEB, DB, 5432) == "deny"
    assert says(world, API, "shop/cart-5c7b2", 8081) == "deny"
    assert says(world, WEB, "shop/cart-5c7b2", 8081) == "allow"
    asked = {path for method, path in server.asked if method == "GET"}
    assert not [path for path in asked if "cilium" in path or "calico" in path], "the server does not have them"


@pytest.mark.parametrize("code", [403, 500])
async def test_policies_that_may_not_be_listed_leave_everything_unknown(
    client: ClusterClient, server: Server, code: int
) -> None:
    serve(server, "example.org", "v1", {"networkpolicies": status(code, "Refused", "no")})
    world, denied = await read_world(client)
    assert [item.what for item in denied] == ["list networkpolicies.networking.k8s.io"]
    assert says(world, WEB, API, 8443) == "unknown"
    assert says(world, WEB, WEB, 80) == "allow"


async def test_without_the_list_of_groups_nothing_is_known(client: ClusterClient, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse | None:
        return status(403, "Forbidden", "no") if request.path == "/apis" else None

    server.answer = answer
    world, denied = await read_world(client)
    assert [item.what for item in denied] == ["list /apis"]
    assert says(world, WEB, API, 8443) == "unknown"


async def test_admin_and_foreign_policies_are_read_where_the_server_has_them(
    client: ClusterClient, server: Server
) -> None:
    rule = {"action": "Deny", "from": [{"namespaces": {}}]}
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "ingress": [rule]}
    deny: list[dict[str, object]] = [{"metadata": {"name": "deny"}, "spec": spec}]
    serve(server, "policy.networking.k8s.io", "v1alpha2", {"clusternetworkpolicies": deny})
    world, denied = await read_world(client)
    assert denied == ()
    assert says(world, WEB, API, 8443) == "deny"
    endpoints: list[dict[str, object]] = [{**DENY_ALL, "spec": {"endpointSelector": {}}}]
    missing = status(404, "NotFound", "no such kind")
    serve(server, "cilium.io", "v2", {"ciliumnetworkpolicies": endpoints, "ciliumclusterwidenetworkpolicies": missing})
    world, denied = await read_world(client)
    assert denied == (), "a group without a kind has none of them"
    assert says(world, WEB, API, 8443) == "unknown"
    assert says(world, API, DB, 5433) == "deny", "shop is at neither end"


async def test_namespaces_that_may_not_be_listed_have_labels_that_are_not_known(
    client: ClusterClient, server: Server
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse | None:
        return status(403, "Forbidden", "no") if request.path == "/api/v1/namespaces" else None

    server.answer = answer
    world, denied = await read_world(client)
    assert [item.what for item in denied] == ["list namespaces"]
    assert says(world, WEB, API, 8443) == "unknown"
    assert says(world, WEB, API, 8444) == "deny", "no rule has this port"


async def test_the_command_asks_a_live_cluster(training: TrainingRange) -> None:
    flags = ["--from", WEB, "--to", API, "--port", "8444", "--format", "json"]
    code = "from kubeshield_tui.cli.main import main; main()"
    command = ["explain", "netpol", "--kubeconfig", str(training.kubeconfig), *flags]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    document = json.loads(out)
    assert document["verdict"] == "deny"
    effects = {effect["name"]: effect["near_miss"] for effect in document["directions"][1]["policies"]}
    assert "ports[0] 8443/TCP: asked 8444/TCP" in effects["api-from-shop-web"]


def test_every_kind_has_a_path_of_its_own() -> None:
    assert len({listed.path for listed in POLICY_LISTS}) == len(POLICY_LISTS)
    assert all(listed.make(DENY_ALL).key.name == "lock" for listed in POLICY_LISTS)
