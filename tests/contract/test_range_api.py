"""The training range from outside: its API as kubectl meets it, its views, its silence, and discovery on it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kubeshield_tui.cluster.access import may
from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.discovery.discover import Discovery, discover
from kubeshield_tui.model.cluster import Denied
from kubeshield_tui.model.event import Progress
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.probes import protocol
from kubeshield_tui.range.api import Api
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.range.view import Reject, Sight
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.vantages.local import LocalVantage
from kubeshield_tui.vantages.pod import PodVantage

Json = dict[str, Any]
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


# --- the API


@asynccontextmanager
async def session(training: TrainingRange, *, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Another client. `token`: None for the kubeconfig's, empty for a stranger."""
    config = json.loads(training.kubeconfig.read_text())
    token = config["users"][0]["user"]["token"] if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=ssl._create_unverified_context())
    server = config["clusters"][0]["cluster"]["server"]
    async with aiohttp.ClientSession(server, headers=headers, connector=connector) as made:
        yield made


async def told(http: aiohttp.ClientSession, path: str, **options: Any) -> tuple[int, Json]:
    async with http.get(path, **options) as response:
        body: Json = await response.json()
        return response.status, body


async def test_a_stranger_learns_the_version_and_nothing_else(training: TrainingRange) -> None:
    async with session(training, token="") as http:
        status, version = await told(http, "/version")
        assert (status, version["gitVersion"]) == (200, training.scenario.version)
        for path in ("/healthz", "/livez", "/readyz"):
            async with http.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok")
        for path in ("/api", "/apis", "/api/v1/namespaces?limit=1", "/api/v1/secrets", "/nothing", "/"):
            status, body = await told(http, path)
            assert (status, body["kind"], body["code"], body["reason"]) == (403, "Status", 403, "Forbidden")
            assert 'User "system:anonymous"' in body["message"]
    for wrong in ("wrong", "", " "):
        async with session(training, token="") as http:
            status, body = await told(http, "/version", headers={"Authorization": f"Bearer {wrong}"})
            assert (status, body["kind"], body["message"]) == (401, "Status", "Unauthorized")


async def test_what_kubectl_asks_before_it_lists(training: TrainingRange) -> None:
    async with session(training) as http:
        assert (await told(http, "/api"))[1]["versions"] == ["v1"]
        groups = (await told(http, "/apis"))[1]["groups"]
        served = {"/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)}
        short: set[str] = set()
        for path in served:
            status, body = await told(http, path)
            assert (status, body["kind"]) == (200, "APIResourceList")
            for resource in body["resources"]:
                short |= set(resource.get("shortNames", ()))
                if "/" not in resource["name"]:
                    status, listed = await told(http, f"{path}/{resource['name']}")
                    assert (status, listed["kind"]) == (200, f"{resource['kind']}List")
        assert short >= {"po", "svc", "netpol", "no", "ns"}
        status, body = await told(http, "/apis/apps/v1/deployments")
        assert (status, body["reason"]) == (404, "NotFound")


async def test_lists_are_paged_and_selected(training: TrainingRange) -> None:
    async with session(training) as http:
        whole = (await told(http, "/api/v1/pods"))[1]["items"]
        assert len(whole) == len(training.scenario.pod)
        paged: list[Json] = []
        token = ""
        while True:
            page = (await told(http, f"/api/v1/pods?limit=2&continue={token}"))[1]
            assert len(page["items"]) <= 2
            paged += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                break
        assert paged == whole

        async def names(query: str) -> set[str]:
            return {item["metadata"]["name"] for item in (await told(http, query))[1]["items"]}

        assert await names("/api/v1/pods?labelSelector=app=web,tier=front") == {"web-6d4f9"}
        assert await names("/api/v1/pods?labelSelector=app==web") == {"web-6d4f9"}
        assert await names("/api/v1/pods?fieldSelector=metadata.name=db-0") == {"db-0"}
        assert await names("/api/v1/namespaces/payments/pods") == {"api-7f8d6", "db-0"}
        assert await names("/api/v1/pods?labelSelector=app=nobody") == set()


async def test_a_watch_tells_what_happens(training: TrainingRange, client: ClusterClient) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
    async with session(training) as http, http.get(f"{leases}?watch=1&timeoutSeconds=30") as response:
        await client.request("POST", leases, body={"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})
        await client.request("DELETE", f"{leases}/l")
        async with asyncio.timeout(5):
            lines = [json.loads(await response.content.readline()) for _ in range(2)]
    assert [(line["type"], line["object"]["metadata"]["name"]) for line in lines] == [("ADDED", "l"), ("DELETED", "l")]


async def test_kubectl_works(training: TrainingRange, tmp_path: Path) -> None:
    if not KUBECTL and os.environ.get("CI") != "true":
        pytest.skip("no kubectl: what it needs is asked for above over plain HTTP")
    assert KUBECTL, "kubectl is not installed"

    async def kubectl(*arguments: str) -> str:
        assert KUBECTL
        environment = {"KUBECONFIG": str(training.kubeconfig), "HOME": str(tmp_path), "PATH": os.defpath}
        process = await asyncio.create_subprocess_exec(
            KUBECTL, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, err.decode()
        return out.decode()

    listed = await kubectl("get", "pods,svc,netpol", "-A", "-o", "name")
    scenario = training.scenario
    named = {f"pod/{pod.name}" for pod in scenario.pod} | {f"service/{service.name}" for service in scenario.service}
    named |= {f"networkpolicy.networking.k8s.io/{policy.name}" for policy in scenario.policy}
    assert set(listed.split()) == named
    assert "web-6d4f9" in await kubectl("get", "po", "-n", "shop", "-l", "app=web")
    assert "n1" in await kubectl("get", "nodes")
    assert scenario.version in await kubectl("version")
    assert (await kubectl("auth", "can-i", "create", "pods")).strip() == "yes"


async def test_the_token_is_for_its_owner_only(training: TrainingRange) -> None:
    for path in (training.kubeconfig, *training.kubeconfig.parent.rglob("*.pem")):
        assert path.stat().st_mode & 0o077 == 0
    assert training.kubeconfig.parent.stat().st_mode & 0o077 == 0


# --- discovery on it


async def test_discovery_finds_the_truths_endpoints_and_nothing_else(
    training: TrainingRange, client: ClusterClient
) -> None:
    found = await discover(client)
    written = {endpoint for endpoint in training.scenario.truth if endpoint.startswith("range/")}
    assert sorted(endpoint.id for endpoint in found.endpoints) == sorted(written)
    assert found.denied == ()
    assert [skipped.why for skipped in found.skipped] == [
        "no packet tells whether they are open; the firewalls of the nodes do"
    ]
    assert len(found.inventory.pods) == len(training.scenario.pod)
    assert await may(client, "create", "pods/exec", namespace="shop") is True


def answering(monkeypatch: pytest.MonkeyPatch, plural: str, code: int) -> None:
    """The range's API refuses one kind of list."""
    real = Api._collection

    async def collection(api: Api, request: web.Request, what: str, namespace: str) -> web.StreamResponse:
        if what == plural and request.method == "GET":
            return web.json_response({"kind": "Status", "message": f"no {plural} today\x1b"}, status=code)
        return await real(api, request, what, namespace)

    monkeypatch.setattr(Api, "_collection", collection)


def ids(found: Discovery) -> set[str]:
    return {str(endpoint.id) for endpoint in found.endpoints}


@pytest.mark.parametrize("plural", ["nodes", "namespaces", "pods", "services", "networkpolicies"])
@pytest.mark.parametrize(("code", "why"), [(403, "forbidden"), (404, "not found"), (500, "no {} today␛")])
async def test_what_may_not_be_read_is_said_and_the_rest_is_there(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, plural: str, code: int, why: str
) -> None:
    whole = ids(await discover(client))
    answering(monkeypatch, plural, code)
    found = await discover(client)
    what = "networkpolicies.networking.k8s.io" if plural == "networkpolicies" else plural
    assert found.denied == (Denied(cluster="range", what=f"list {what}", why=why.format(plural)),)
    missing = whole - ids(found)
    assert bool(missing) is (plural in {"nodes", "services"})
    assert "range/kube-apiserver/kubeconfig:6443/tcp" in ids(found)
    words = {"nodes": "Node/", "services": "Service"}
    assert all(words[plural] in endpoint or "@10." in endpoint for endpoint in missing)


async def test_endpoints_stand_in_for_slices_where_there_are_none(
    training: TrainingRange, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_slices = await discover(client)
    assert training._api is not None
    world = training._api._world
    for body in list(world.objects["endpointslices"].values()):
        addresses = [{"ip": each["addresses"][0], "targetRef": each.get("targetRef")} for each in body["endpoints"]]
        name = body["metadata"]["labels"]["kubernetes.io/service-name"]
        metadata = {"name": name, "namespace": body["metadata"]["namespace"]}
        world.put("endpoints", {"metadata": metadata, "subsets": [{"addresses": addresses, "ports": body["ports"]}]})
    answering(monkeypatch, "endpointslices", 404)
    found = await discover(client)
    assert found.denied == ()
    assert found.endpoints == with_slices.endpoints  # backends too
    answering(monkeypatch, "endpoints", 403)
    found = await discover(client)
    assert [(denied.what, denied.why) for denied in found.denied] == [
        ("list endpointslices.discovery.k8s.io", "not found"),
        ("list endpoints", "forbidden"),
    ]


async def test_two_contexts_of_one_cluster_and_a_target_that_it_has_are_one_grid(
    training: TrainingRange, tmp_path: Path
) -> None:
    config = json.loads(training.kubeconfig.read_text())
    config["contexts"].append({"name": "again", "context": config["contexts"][0]["context"]})
    kubeconfig, targets = tmp_path / "kubeconfig", tmp_path / "targets.txt"
    kubeconfig.write_text(json.dumps(config))
    targets.write_text("10.0.0.11:10250 expect=reachable\n")
    said: list[str] = []
    run = Session(
        Settings(
            kubeconfig=kubeconfig, contexts=("range", "again"), targets=targets, vantages=(parse_vantage("local"),)
        ),
        local_channel=training.local_channel,
        listeners=[lambda event: said.append(event.phase) if isinstance(event, Progress) else None],
    )
    await run.audit()
    rows = run.store.endpoints.values()
    assert {row.cluster for row in rows} == {"range"}
    assert len({(row.host, row.port, row.component) for row in rows}) == len(rows)
    kubelet = run.store.endpoints[EndpointId("range/Node/n1:10250/tcp")]
    assert (kubelet.declared, kubelet.source) == ("reachable", "targets.txt:1; Node n1")
    assert "again names the same cluster as range: its rows are range's" in said


# --- views


def probe(host: str, port: int, timeout: float = 0.3) -> Probe:
    timing = Timing(timeout=timeout, confirm=timeout)
    return Probe(endpoint=EndpointId(f"{host}:{port}"), vantage=VantageId("v"), host=host, port=port, timing=timing)


def test_an_address_that_is_not_known_is_never_connected_to() -> None:
    known, refused = ("203.0.113.10", 6443), ("10.0.0.1", 22)
    drop = ("127.0.0.1", 9)
    sight = Sight({known: ("127.0.0.1", 5)}, {refused: Reject("host-prohibited", "10.0.0.254")}, drop)
    places = [known, refused, ("203.0.113.10", 6444), ("127.0.0.1", 22), ("localhost", 22), ("::1", 22), ("", 0)]
    line = protocol.probe_line([(str(number), probe(*place)) for number, place in enumerate(places)])
    asked: dict[str, str] = {}
    rewritten, answers = sight.rewrite(line.rstrip(b"\n"), asked)
    targets = json.loads(rewritten)["targets"]
    assert targets[0] == ["0", *known, "127.0.0.1", 5]
    assert [target[3:] for target in targets[1:]] == [list(drop)] * 5
    assert {target[0] for target in targets} == {"0", "2", "3", "4", "5", "6"}
    assert [json.loads(answer)["id"] for answer in answers] == ["1"]
    assert asked["2"] == "203.0.113.10"
    # A target that brings an address to connect to gets the view's all the same.
    forged = json.dumps({"op": "probe", "targets": [["0", "h", 1, "192.0.2.1", 1]]}, separators=(",", ":")).encode()
    assert json.loads(sight.rewrite(forged, {})[0])["targets"] == [["0", "h", 1, *drop]]
    for other in (b'{"op":"ping","seq":1}', b'{"op":"end"}', b"QUJD"):
        assert sight.rewrite(other, {}) == (other, [])


def test_a_reject_is_marked_as_simulated() -> None:
    sight = Sight({}, {("h", 1): Reject("admin-prohibited", "10.0.0.1")}, ("127.0.0.1", 9))
    asked = probe("h", 1)
    _, (answer,) = sight.rewrite(protocol.probe_line([("0", asked)]).rstrip(b"\n"), {})
    result = protocol.read_line(answer)
    assert result is not None
    seen = protocol.observation(asked, result, 1.0, answer)
    assert (seen.state, seen.reason, seen.simulated) == (State.FILTERED, Reason.ADMIN_PROHIBITED, True)
    assert seen.icmp is not None
    assert (seen.icmp.type, seen.icmp.code, seen.icmp.source) == (3, 13, "10.0.0.1")


def test_a_cut_is_an_open_port_and_marked_as_simulated() -> None:
    sight = Sight({}, {}, ("127.0.0.1", 9), ("198.51.100.4", "10.0.0.4"), (("10.0.0.12", 30080),))
    asked = probe("10.0.0.12", 30080)
    _, (answer,) = sight.rewrite(protocol.probe_line([("0", asked)]).rstrip(b"\n"), {})
    result = protocol.read_line(answer)
    assert result is not None
    seen = protocol.observation(asked, result, 1.0, answer)
    assert (seen.state, seen.reason, seen.simulated) == (State.OPEN, Reason.RESET, True)
    assert seen.source == "10.0.0.4"


async def test_a_vantage_comes_as_its_own_addresses(training: TrainingRange, client: ClusterClient) -> None:
    point = LocalVantage(parse_vantage("local"), connect=training.local_channel)
    (local,) = [view for view in training.scenario.view if view.vantage == "local"]
    assert (await point.open()).addresses == tuple(local.addresses)
    assert (await point.ask(probe("203.0.113.10", 6443, 5))).source == local.addresses[0]
    await point.close()
    spec = parse_vantage("pod:shop/web-6d4f9")
    pod = PodVantage(spec, client, image="", settle=0.0, report=lambda _: None)
    assert (await pod.open()).addresses == ("10.244.2.10",)
    await pod.close()


@pytest.mark.parametrize("at_once", [1, 50, 200])
async def test_silence_is_silent_however_many_ask(training: TrainingRange, at_once: int) -> None:
    point = LocalVantage(parse_vantage("local"), connect=training.local_channel)
    await point.open()
    asked = [point.ask(probe("192.0.2.7", port)) for port in range(1, at_once + 1)]
    seen: list[Observation] = await asyncio.gather(*asked, point.ask(probe("203.0.113.10", 6443, 5)))
    await point.close()
    *silent, api = seen
    assert {(each.state, each.reason, each.simulated) for each in silent} == {
        (State.FILTERED, Reason.NO_RESPONSE, False)
    }
    assert {len(each.attempts) for each in silent} == {2}  # silence counts when it was met twice
    assert api.state is State.OPEN


# --- the end


def children() -> set[str]:
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


async def test_ten_starts_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, tasks, processes = len(os.listdir("/proc/self/fd")), asyncio.all_tasks(), children()
    for _ in range(10):
        async with TrainingRange() as training:
            assert len(list(tmp_path.iterdir())) == 1
            point = LocalVantage(parse_vantage("local"), connect=training.local_channel)
            await point.open()
            assert (await point.ask(probe("203.0.113.10", 6443, 5))).state is State.OPEN
            await point.close()
        assert list(tmp_path.iterdir()) == []
    await asyncio.sleep(0)
    gc.collect()
    assert children() == processes
    assert asyncio.all_tasks() == tasks
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(TrainingRange, "_write_kubeconfig", fail)
    tasks = asyncio.all_tasks()
    with pytest.raises(OSError, match="no room"):
        async with TrainingRange():
            pass
    assert list(tmp_path.iterdir()) == []
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
