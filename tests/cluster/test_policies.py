"""What the policies of a real cluster say is what its pods meet, and where nothing enforces them that is found."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, product
from typing import NamedTuple

import pytest

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.live import read_world
from kubeshield_tui.evidence.netpol.party import End, Question, parse_end
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.judgement.comparison import DISAGREEMENTS, Circumstances, Code, Expected, compare, seen_of
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.vantages.pod import PodVantage
from kubeshield_tui.vantages.ssh import SshVantage
from kubeshield_tui.vantages.vantage import VantagePoint
from tests.cluster import kit
from tests.cluster.policies import MARKS, PODS, RED, SPACES, TCP_PORTS, UDP_PORT, Pod, Raw, policies

pytestmark = pytest.mark.timeout(600)
SEED = 20
INTERNET = "198.51.100.10"
ALLOW = Predicted.ALLOW
KIT_PROFILE = Profile(ipblock_matches_pods=True, ipblock_matches_nodes=True, pod_to_own_node=False)
"""What the cluster's enforcer does where the specification leaves the choice."""
QUICK, SURE = Timing(timeout=1.0, confirm=1.0, attempts=1), Timing(timeout=3.0, confirm=3.0, attempts=2)
POLL = Timing(timeout=0.3, confirm=0.3, attempts=1)
MARK_SECONDS = 30.0
CIRCUMSTANCES = Circumstances(complete=True, listener=True, deny_style="drop", proven=True, twice=True)
EXPECTED = {Predicted.ALLOW: Expected.ALLOW, Predicted.DENY: Expected.POLICY_DENY, Predicted.UNKNOWN: Expected.UNKNOWN}


class Cell(NamedTuple):
    """One way that is asked and predicted."""

    source: str
    destination: str
    host: str
    port: int
    protocol: str = "TCP"

    @property
    def question(self) -> Question:
        return Question(
            source=end(self.source), destination=end(self.destination), port=self.port, protocol=self.protocol
        )

    def probe(self, timing: Timing) -> Probe:
        return Probe(
            endpoint=EndpointId(f"{self.host}:{self.port}"),
            vantage=VantageId(self.source),
            host=self.host,
            port=self.port,
            protocol=Protocol(self.protocol.lower()),
            timing=timing,
        )


def end(text: str) -> End:
    found = parse_end(text)
    assert found is not None, text
    return found


class Place(NamedTuple):
    """The pods that listen and the places that ask."""

    client: ClusterClient
    points: dict[str, VantagePoint]
    """By the end that it is."""
    cells: list[Cell]
    marks: list[str]

    async def apply(self, namespace: str, name: str, spec: Raw) -> None:
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}
        await self.client.request("POST", path, body=body)

    async def remove(self, namespace: str, name: str) -> None:
        await self.client.request("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}")

    async def ask(self, cells: list[Cell], timing: Timing) -> dict[Cell, Observation]:
        answers = await asyncio.gather(*(self.points[cell.source].ask(cell.probe(timing)) for cell in cells))
        return dict(zip(cells, answers, strict=True))

    async def in_force(self, turn: int) -> None:
        """Wait until a policy that is made now opens its port on every node: all made before it are in force too."""
        port, closed = TCP_PORTS[turn % 2], TCP_PORTS[(turn + 1) % 2]
        if turn:
            await self.remove(MARKS, f"mark-{turn - 1}")
        await self.apply(MARKS, f"mark-{turn}", {"podSelector": {}, "ingress": [{"ports": [{"port": port}]}]})
        await self._until(port, State.OPEN)
        if not turn:  # from now on a port that opens tells something
            await self._until(closed, State.FILTERED)

    async def _until(self, port: int, wanted: State) -> None:
        until = time.monotonic() + MARK_SECONDS
        waiting = [Cell(kit.OUTSIDE, address, address, port) for address in self.marks]
        while waiting:
            assert time.monotonic() < until, f"no policy took effect at {waiting}"
            seen = await self.ask(waiting, POLL if wanted is State.OPEN else QUICK)
            waiting = [cell for cell in waiting if seen[cell].state is not wanted]


class Estate(NamedTuple):
    """Addresses of what was made and of what was there, by name."""

    pods: dict[str, str]
    marks: list[str]
    nodes: dict[str, str]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Own pods on all nodes in turn, and one on each that shows when policies are in force; removed at the end."""
    listed = json.loads(kit.kubectl("get", "nodes", "-o", "json"))["items"]
    nodes = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in listed}
    spaces: dict[str, dict[str, str]] = {**{name: dict(labels) for name, labels in SPACES.items()}, MARKS: {}}
    items: list[Raw] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in spaces.items()
    ]
    items += [pod.manifest(node) for pod, node in zip(PODS, cycle(nodes), strict=False)]
    items += [Pod(MARKS, f"mark-{node}").manifest(node) for node in nodes]
    manifest = tmp_path_factory.mktemp("policies") / "estate.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    found: dict[str, str] = {}
    try:
        kit.kubectl("apply", "-f", str(manifest))
        for name in spaces:
            kit.kubectl("wait", "-n", name, "pod", "--all", "--for=condition=Ready", "--timeout=90s")
            for pod in json.loads(kit.kubectl("get", "pods", "-n", name, "-o", "json"))["items"]:
                found[f"{name}/{pod['metadata']['name']}"] = pod["status"]["podIP"]
        marks = [found.pop(f"{MARKS}/mark-{node}") for node in nodes]
        yield Estate(found, marks, nodes)
    finally:
        kit.kubectl("delete", "namespace", *spaces, "--ignore-not-found")


def cells_of(estate: Estate) -> list[Cell]:
    """Every port of every pod from every place, and from every pod what is no pod."""
    ports = [*((port, "TCP") for port in TCP_PORTS), (UDP_PORT, "UDP")]
    sources = [*estate.pods, *(f"node:{name}" for name in estate.nodes), kit.OUTSIDE]
    found = [
        Cell(source, pod, address, *port)
        for source, (pod, address), port in product(sources, estate.pods.items(), ports)
    ]
    beyond = [(f"node:{name}", address, 10250) for name, address in estate.nodes.items()]
    beyond += [(kit.OUTSIDE, kit.OUTSIDE, 2222), (INTERNET, INTERNET, 80)]
    return found + [Cell(pod, *target) for pod, target in product(estate.pods, beyond)]


@asynccontextmanager
async def placed(estate: Estate) -> AsyncIterator[Place]:
    """Open a vantage in every pod, on every node and outside."""
    client = await connect(read_kubeconfig(kit.KUBECONFIG).current, kit.KUBECONFIG)
    config = kit.STATE / "ssh" / "config"
    hosts = {kit.OUTSIDE: "outside", **{f"node:{name}": name for name in estate.nodes}}
    points: dict[str, VantagePoint] = {
        name: SshVantage(parse_vantage(f"ssh:{host}"), ssh_config=config) for name, host in hosts.items()
    }
    for pod in estate.pods:
        spec = parse_vantage(f"pod:{pod}")
        points[pod] = PodVantage(spec, client, image="", settle=0.0, report=lambda _: None)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        for point in points.values():
            stack.push_async_callback(point.close)
        await asyncio.gather(*(point.open() for point in points.values()))
        yield Place(client, points, cells_of(estate), estate.marks)


class Told(NamedTuple):
    """What is said of each cell: whatever the network plugin does, and with what this one is known to do."""

    verdicts: dict[Cell, Predicted]
    decided: dict[Cell, Predicted]


async def predicted(place: Place) -> Told:
    """Predict every cell by the objects as the API has them now."""
    world, denied = await read_world(place.client)
    assert denied == ()
    verdicts = {cell: evaluate(world, cell.question).verdict for cell in place.cells}
    assert {cell: decide(world, cell.question) for cell in place.cells} == verdicts
    world.profile = KIT_PROFILE
    decided = {cell: evaluate(world, cell.question).verdict for cell in place.cells}
    assert Predicted.UNKNOWN not in decided.values()
    return Told(verdicts, decided)


def is_left_open(cell: Cell, spec: Raw) -> bool:
    """Whether the specification leaves a cell to the plugin: an ipBlock beside an address of the cluster's, a node."""
    peers = {"ingress": cell.source, "egress": cell.destination}
    asked = [direction for direction, peer in peers.items() if peer not in {kit.OUTSIDE, INTERNET}]
    return cell.destination.startswith("node:") or any("ipBlock" in json.dumps(spec.get(each)) for each in asked)


async def test_every_verdict_is_what_is_met(estate: Estate) -> None:
    numbers: Counter[str] = Counter()
    wrong: list[str] = []
    async with placed(estate) as place:
        for turn, (namespace, spec) in enumerate(policies(estate.pods[f"{RED}/db"], SEED)):
            await place.apply(namespace, "tried", spec)
            told = await predicted(place)
            await place.in_force(turn)
            seen = await place.ask(place.cells, QUICK)
            # One silence proves nothing.
            silent = [cell for cell in place.cells if not is_through(seen[cell]) and told.decided[cell] is ALLOW]
            seen |= await place.ask(silent, SURE)
            await place.remove(namespace, "tried")
            numbers["policies"] += 1
            for cell in place.cells:
                verdict, decided = told.verdicts[cell], told.decided[cell]
                numbers[verdict] += 1
                said = compare(EXPECTED[verdict], seen_of(seen[cell].state, seen[cell].reason), CIRCUMSTANCES)
                fits = is_through(seen[cell]) is (decided is ALLOW) and verdict in {decided, Predicted.UNKNOWN}
                may_be_open = verdict is not Predicted.UNKNOWN or is_left_open(cell, spec)
                if not fits or not may_be_open or said.code in DISAGREEMENTS:
                    wrong.append(
                        f"{namespace} {spec}: {cell}: {verdict}, {decided}, {seen[cell].state}, {said.sentence}"
                    )
    assert wrong == [], "\n".join(wrong)
    assert numbers["policies"] >= 60
    assert min(numbers[verdict] for verdict in Predicted) >= 40


@pytest.mark.usefixtures("policies_off")
async def test_where_nothing_enforces_each_policy_that_denies_is_contradicted(estate: Estate) -> None:
    numbers: Counter[str] = Counter()
    async with placed(estate) as place:
        for namespace, spec in policies(estate.pods[f"{RED}/db"], SEED):
            await place.apply(namespace, "tried", spec)
            told = await predicted(place)
            denied = [cell for cell, verdict in told.verdicts.items() if verdict is Predicted.DENY]
            seen = await place.ask(denied, SURE)
            await place.remove(namespace, "tried")
            for cell in denied:
                said = compare(Expected.POLICY_DENY, seen_of(seen[cell].state, seen[cell].reason), CIRCUMSTANCES)
                assert said.code is Code.NOT_ENFORCED, (namespace, spec, cell, seen[cell], said)
            numbers["policies that deny"] += bool(denied)
            numbers["cells"] += len(denied)
    assert numbers["policies that deny"] >= 50


def is_through(seen: Observation) -> bool:
    """Whether the target was reached."""
    assert seen.state in {State.OPEN, State.CLOSED, State.FILTERED, State.OPEN_FILTERED}, seen
    return seen.state in {State.OPEN, State.CLOSED}
