"""Rules of real nodes, read over SSH and by a pod: what they predict is what vantages meet, and witnesses say why.

kube-proxy's iptables mode with an nftables table of policies beside it. Vantages ask from where they stand, over SSH
and exec: nothing is sent to a node or pod from this machine itself.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from kubeshield_tui.evidence.hosts import HostLayer, How
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.model.event import ObjectCreated
from kubeshield_tui.model.evidence import SourceStatus, Support
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session.expand import resolve_nodes
from kubeshield_tui.session.firewalls import Stop
from kubeshield_tui.session.session import Session
from kubeshield_tui.session.way_back import with_way_back
from kubeshield_tui.settings.schema import Settings
from tests.cluster import kit

SPACE = "kubeshield-firewall"
NODE1, NODE2 = "172.30.0.1", "172.30.0.2"
REJECTS = {
    "icmp-port-unreachable": Reason.PORT_UNREACH, "icmp-admin-prohibited": Reason.ADMIN_PROHIBITED,
    "icmp-host-prohibited": Reason.HOST_PROHIBITED, "icmp-net-unreachable": Reason.NET_UNREACH,
    "icmp-host-unreachable": Reason.HOST_UNREACH,
}  # fmt: skip
BACKEND = "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, str]]:
    """Services of every kind: with backends on both nodes, of one port name, without endpoints. Name -> HOST:PORT."""
    kit.kubectl("create", "namespace", SPACE)
    try:
        for number, node in enumerate(("node1", "node2")):
            _run(f"back-{number}", node)
        _service("both", {"app": "back"}, 80, 8080, "NodePort")
        _service("local", {"app": "back", "number": "1"}, 80, 8080, "NodePort", externalTrafficPolicy="Local")
        _service("none", {"app": "nobody"}, 80, 8080, "NodePort")
        for number in range(2):
            kit.kubectl("wait", "-n", SPACE, f"pod/back-{number}", "--for=condition=Ready", "--timeout=60s")
        told = json.loads(kit.kubectl("get", "services,pods", "-n", SPACE, "-o", "json"))["items"]
        yield dict(_addresses(told))
    finally:
        kit.kubectl("delete", "namespace", SPACE, "--wait=true")


def _run(name: str, node: str) -> None:
    container = {
        "name": "web", "image": "python:3-slim", "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", BACKEND], "ports": [{"containerPort": 8080, "name": "http"}],
    }  # fmt: skip
    spec = {"nodeName": node, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
            "containers": [container]}  # fmt: skip
    labels = f"app=back,number={name[-1]}"
    overrides = json.dumps({"apiVersion": "v1", "spec": spec})
    kit.kubectl("run", name, "-n", SPACE, "--image=python:3-slim", "--restart=Never", f"--labels={labels}",
                "--overrides", overrides)  # fmt: skip


def _service(name: str, selector: dict[str, str], port: int, target: int, kind: str, **more: str) -> None:
    spec = {"type": kind, "selector": selector, "ports": [{"port": port, "targetPort": target}], **more}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SPACE}, "spec": spec}
    path = kit.STATE / f"{SPACE}-{name}.json"
    path.write_text(json.dumps(body))
    kit.kubectl("apply", "-f", str(path))
    path.unlink()


def _addresses(objects: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for each in objects:
        name = each["metadata"]["name"]
        if each["kind"] == "Pod":
            yield name, f"{each['status']['podIP']}:8080"
        else:
            yield name, f"{each['spec']['clusterIP']}:80"
            for node, address in (("node1", NODE1), ("node2", NODE2)):
                yield f"{name}@{node}", f"{address}:{each['spec']['ports'][0]['nodePort']}"


@asynccontextmanager
async def running(folder: Path, *lines: str, vantages: tuple[str, ...], **more: Any) -> AsyncIterator[Session]:
    """A session after its first sweep, with the rules of all SSH hosts read."""
    targets = folder / "targets"
    targets.write_text("".join(f"{line}\n" for line in lines))
    settings = Settings(
        kubeconfig=kit.KUBECONFIG, ssh_config=kit.STATE / "ssh" / "config", targets=targets, read_firewalls=True,
        vantages=tuple(parse_vantage(each) for each in vantages), **more,
    )  # fmt: skip
    session = Session(resolve_nodes(settings))
    session.prepare()
    await session._expand()
    try:
        await session._start(live=False)
        await session._settle()
        yield session
    finally:
        await session.close()


def verdict(session: Session, key: CellKey) -> tuple[list[HostLayer], str]:
    """What each host on a cell's way says, and what the visitor must meet by that: open, refused, drop, a reason."""
    ways, endpoint = session.firewalls.ways(), session.store.endpoints[key.endpoint]
    judged = ((stop, stop.judged(time())) for stop in ways.of(key))
    layers = [with_way_back(ways, stop, layer, endpoint) for stop, layer in judged if layer is not None]
    if not layers:
        return layers, "no host"
    if any(layer.verdict is Predicted.UNKNOWN for layer in layers):
        return layers, "unknown"
    refusing = next((layer for layer in layers if layer.verdict is Predicted.DENY), None)
    if refusing is None:
        return layers, "passed"
    return layers, refusing.answer or str(refusing.how)


def met(session: Session, key: CellKey) -> set[str]:
    """What was observed, in the same words: all that looks so. None where nothing was."""
    seen = session.store.cell(key).observation
    if seen is None:
        return set()
    if seen.reason is Reason.CONN_REFUSED:
        return {"passed", "tcp-reset"}  # of a closed port, or of a rule
    if seen.state is State.OPEN_FILTERED:
        return {"passed", str(How.DROP)}
    if seen.state is State.OPEN:
        return {"passed"}
    if seen.reason is Reason.NO_RESPONSE:
        return {str(How.DROP)}
    return {next((answer for answer, reason in REJECTS.items() if reason is seen.reason), str(seen.reason))}


def compared(session: Session) -> tuple[Counter[str], list[tuple[object, ...]]]:
    """Counts of what was predicted, and every cell where it was not met."""
    counts: Counter[str] = Counter()
    wrong: list[tuple[object, ...]] = []
    for key in session.store.cells:
        if "/kst-" in key.endpoint:
            continue  # of another test, which may change its rules between the reading and the probe
        layers, must = verdict(session, key)
        seen = met(session, key)
        if not seen:
            continue
        counts[must] += 1
        if must not in {*seen, "no host"}:
            wrong.append((key, must, seen, [layer.decider for layer in layers]))
    return counts, wrong


VANTAGES = ("node:node1", "node:node2", "ssh:outside")


async def test_predictions_of_every_cell_are_what_is_met(world: dict[str, str], tmp_path: Path) -> None:
    web = kit.kubectl("get", "pods", "-n", "shop", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    toolbox = kit.kubectl("get", "pods", "-n", "ops", "-l", "app=toolbox", "-o", "jsonpath={.items[0].metadata.name}")
    pods = (f"pod:shop/{web}", f"pod:ops/{toolbox}", f"pod:{SPACE}/back-0")
    payments = kit.kubectl("get", "pods", "-n", "payments", "-o", "jsonpath={.items[*].status.podIP}").split()
    lines = [*world.values(), *(f"{address}:8443" for address in payments), f"{NODE1}:10250", f"{NODE2}:9"]
    async with running(tmp_path, *lines, vantages=(*VANTAGES, *pods)) as session:
        counts, wrong = compared(session)
        assert wrong == [], "\n".join(map(str, wrong))
        assert counts["no host"] == 1  # what back-0 asks of itself
        assert counts["passed"] >= 60
        assert counts["drop"] >= 10
        assert counts["icmp-port-unreachable"] >= 8


async def test_services_are_followed_as_kube_proxy_translates_them(world: dict[str, str], tmp_path: Path) -> None:
    async with running(tmp_path, *world.values(), vantages=VANTAGES, discovery=True) as session:

        def way(name: str, vantage: str) -> list[tuple[str, str, str]]:
            host, _, port = world[name].partition(":")
            wanted = {
                each.id for each in session.store.endpoints.values() if (each.host, str(each.port)) == (host, port)
            }
            key = next(key for key in session.store.cells if key.endpoint in wanted and key.vantage == vantage)
            return [(stop.host, stop.visit.target, judged(stop)) for stop in session.firewalls.way(key)]

        backs = {world["back-0"].partition(":")[0], world["back-1"].partition(":")[0]}
        assert {target for _, target, _ in way("both", "node:node1")[1:]} <= backs
        assert way("both@node1", "ssh:outside")[1][0] == "node1"
        assert way("none", "node:node1")[0][2] == "deny"
        assert way("none@node2", "ssh:outside")[-1] == ("node2", NODE2, "deny")
        assert way("local@node1", "ssh:outside")[-1][2] == "deny"  # no backend on node1: kube-proxy drops it
        assert way("local@node2", "ssh:outside")[-1][2] == "allow"


def judged(stop: Stop) -> str:
    layer = stop.judged(time())
    assert layer is not None, f"{stop.host} was not read"
    return str(layer.verdict)


@contextmanager
def wall(node: str, *rules: str) -> Iterator[None]:
    """Rules of iptables on a node, taken off again."""
    for rule in rules:
        kit.kit("exec-net", node, "iptables", "-w", "-I", *rule.split())
    try:
        yield
    finally:
        for rule in rules:
            kit.kit("exec-net", node, "iptables", "-w", "-D", *rule.split())


async def test_a_nodes_own_wall_is_predicted_met_and_witnessed(tmp_path: Path) -> None:
    rules = (
        "INPUT -s 172.30.0.254 -p tcp --dport 9101 -j DROP",
        "INPUT -s 172.30.0.254 -p tcp --dport 9102 -j REJECT --reject-with icmp-admin-prohibited",
        "INPUT -s 172.30.0.254 -p tcp --dport 9103 -j REJECT --reject-with tcp-reset",
        "OUTPUT -d 172.30.0.254 -p tcp --sport 10250 -j DROP",
    )
    lines = [*(f"{NODE2}:{port}" for port in (9101, 9102, 9103)), f"{NODE2}:10250", f"{NODE1}:10250"]
    with wall("node2", *rules):
        async with running(tmp_path, *lines, vantages=VANTAGES, discovery=False) as session:
            keys = {key.endpoint.partition("/")[0]: key for key in session.store.cells if key.vantage == "ssh:outside"}
            _, wrong = compared(session)
            assert wrong == [], "\n".join(map(str, wrong))
            for port, answer in ((9101, "drop"), (9102, "icmp-admin-prohibited"), (9103, "tcp-reset"), (10250, "drop")):
                layers, must = verdict(session, keys[f"{NODE2}:{port}"])
                assert must == answer
                assert layers[-1].host == "node2"
            for port, words in (
                (9101, "it died on node2: ip filter INPUT rule"),
                (10250, "node2 saw an answer go back, and it died there: ip filter OUTPUT rule"),
            ):
                await session.witness(keys[f"{NODE2}:{port}"])
                told = session.store.witnesses[keys[f"{NODE2}:{port}"]]
                assert told.error == ""
                assert told.hosts[-1].host == "node2"
                assert told.hosts[-1].support is Support.SUPPORTS
                assert words in told.sentence
            await session.witness(keys[f"{NODE1}:10250"])
            told = session.store.witnesses[keys[f"{NODE1}:10250"]]
            assert told.sentence == "it was let through all the way"
            assert told.hosts[-1].fate == "accepted"


async def test_findings_about_rules_come_with_the_reading(tmp_path: Path) -> None:
    with wall("node2", "INPUT -p tcp --dport 10250 -j ACCEPT", "INPUT -p tcp --dport 10250 -j DROP"):
        async with running(tmp_path, f"{NODE2}:10250", vantages=VANTAGES) as session:
            found = {finding.id: finding for finding in session.store.findings.values()}
    cluster = next(iter(session.store.clusters))
    assert f"input-policy-accept:{cluster}:Node/node1" in found
    assert f"input-policy-accept:{cluster}:Node/node2" not in found
    metadata = found[f"metadata-forwarded:{cluster}:Node/node1"]
    assert metadata.object == "Node/node1"
    dropped = found[f"rule-shadowed:{cluster}:Node/node2"]
    assert "INPUT rule 2" in dropped.because[0]
    assert "all its packets end at rule 1" in dropped.because[0]


async def over_ssh(folder: Path) -> Gathered:
    """What SSH reads of node1."""
    async with running(folder, f"{NODE1}:10250", vantages=("node:node1",), discovery=False) as session:
        told = session.firewalls.gathered(parse_vantage("node:node1").id)
    assert told is not None
    return told


async def test_a_pod_reads_a_node_as_ssh_does_and_is_gone(tmp_path: Path) -> None:
    before = await over_ssh(tmp_path)
    kit.kubectl("create", "namespace", f"{SPACE}-pods")
    try:
        config = tmp_path / "none"
        config.write_text("")
        targets = tmp_path / "targets"
        targets.write_text(f"{NODE1}:10250\n")
        settings = Settings(
            kubeconfig=kit.KUBECONFIG, ssh_config=config, targets=targets, consent=True, read_firewalls=True,
            firewall_pods=True, pod_namespace=f"{SPACE}-pods", vantages=(parse_vantage("node:node1"),),
        )  # fmt: skip
        session = Session(resolve_nodes(settings))
        await session.audit()
        assert session.store.left == []
        assert {object_.partition(" ")[0] for _, object_ in session.store.removed} == {"Pod", "Lease"}
        assert len(session.store.removed) == 4  # the vantage's, and the reader's
        told = session.firewalls.gathered(parse_vantage("node:node1").id)
        assert told is not None
        assert {source.item for source in told.unread} <= {"bpf"}
        after = await over_ssh(tmp_path)
        for item in ("iptables", "routes", "rules", "backends"):
            assert told.sources[item].status is SourceStatus.OK
            earlier, later, own = (_plain(each.text(item)) for each in (before, after, told))
            assert earlier & later <= own <= earlier | later  # others change the cluster too
        earlier, later, own = (
            {(each.protocol, each.address, each.port) for each in reading.listeners or ()}
            for reading in (before, after, told)
        )
        assert earlier & later <= own <= earlier | later
    finally:
        kit.kubectl("delete", "namespace", f"{SPACE}-pods", "--wait=true")


def _plain(text: str) -> set[str]:
    """Lines without counters, times, and devices of pods that came or went."""
    return {
        line.partition("]")[2] if line.startswith("[") else line.partition(" [")[0]
        for line in text.splitlines()
        if not line.startswith("#") and "veth" not in line
    }


async def test_a_reading_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    space = f"{SPACE}-cut"
    kit.kubectl("create", "namespace", space)
    try:
        config, targets = tmp_path / "none", tmp_path / "targets"
        config.write_text("")
        targets.write_text(f"{NODE1}:10250\n")
        settings = Settings(
            kubeconfig=kit.KUBECONFIG, ssh_config=config, targets=targets, consent=True, read_firewalls=True,
            firewall_pods=True, pod_namespace=space, vantages=(parse_vantage("node:node1"),),
        )  # fmt: skip
        made = asyncio.Event()
        session = Session(
            resolve_nodes(settings),
            listeners=(
                lambda event: made.set() if isinstance(event, ObjectCreated) and "Pod" in event.object else None,
            ),
        )
        run = asyncio.create_task(session.run())
        await made.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert session.store.left == []
        assert session.store.objects == []
        assert kit.kubectl("get", "pods,leases", "-n", space, "-o", "name") == ""
    finally:
        kit.kubectl("delete", "namespace", space, "--wait=true")


async def test_a_namespace_that_forbids_it_is_said_item_by_item(tmp_path: Path) -> None:
    kit.kubectl("create", "namespace", f"{SPACE}-tight")
    try:
        kit.kubectl("create", "quota", "none", "-n", f"{SPACE}-tight", "--hard=pods=0")
        await asyncio.sleep(1)
        config, targets = tmp_path / "none", tmp_path / "targets"
        config.write_text("")
        targets.write_text(f"{NODE1}:10250\n")
        settings = Settings(
            kubeconfig=kit.KUBECONFIG, ssh_config=config, targets=targets, consent=True, read_firewalls=True,
            firewall_pods=True, pod_namespace=f"{SPACE}-tight", vantages=(parse_vantage("node:node1"),),
        )  # fmt: skip
        session = Session(resolve_nodes(settings))
        await session.audit()
        sources = list(session.store.sources.values())
        assert sources
        assert {source.status for source in sources} == {SourceStatus.ERROR}
        assert "quota" in sources[0].detail
    finally:
        kit.kubectl("delete", "namespace", f"{SPACE}-tight", "--wait=true")
