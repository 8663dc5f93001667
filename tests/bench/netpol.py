"""A large cluster's policies: 5,000 pods and 1,000 policies, 1 M verdicts, beside a word-by-word evaluation.

One thread and no waiting, so its own processor time counts, whatever else the machine does.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from kubeshield_tui.evidence.netpol.explain import decide, evaluate
from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.party import End, EndKind, Question
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.cluster import ContainerPort, NamespaceRecord, PodRecord
from kubeshield_tui.model.prediction import Predicted
from tests.bench.figure import figure
from tests.unit.netpol.plain import PlainPod, PlainWorld

NAMESPACES, APPS, REPLICAS = 50, 20, 5
POLICIES = 1_000
DESTINATIONS = 200
SAMPLE = 2_000
"""Pairs that the word-by-word evaluation is asked, and that both must agree on."""
EXPLANATIONS = 500
CHANGES = 20
PORTS = ((80, "http"), (5432, "db"), (9090, "metrics"))


def _pods() -> list[PlainPod]:
    pods = []
    for number in range(NAMESPACES * APPS * REPLICAS):
        space, rest = divmod(number, APPS * REPLICAS)
        app, replica = divmod(rest, REPLICAS)
        labels = {"app": f"app-{app}", "tier": ("front", "back", "data")[app % 3], "replica": str(replica)}
        ports = tuple((name, "TCP", port) for port, name in PORTS)
        address = f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        pods.append(PlainPod(f"ns-{space}", f"app-{app}-{replica}", labels, address, ports))
    return pods


def _policy(number: int, draw: random.Random) -> dict[str, Any]:
    space, app = divmod(number, APPS)
    peers: list[dict[str, Any]] = [
        {"podSelector": {"matchLabels": {"app": f"app-{draw.randrange(APPS)}"}}},
        {"namespaceSelector": {"matchLabels": {"team": f"team-{draw.randrange(5)}"}}},
        {
            "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
            "podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}]},
        },
    ]
    ports: list[dict[str, Any]] = [{"port": 5432}, {"port": "http"}, {"port": 9000, "endPort": 9100}]
    rules = [
        {"from": draw.sample(peers, draw.randint(1, 3)), "ports": draw.sample(ports, draw.randint(1, 3))}
        for _ in range(draw.randint(1, 3))
    ]
    spec: dict[str, Any] = {"podSelector": {"matchLabels": {"app": f"app-{app}"}}, "ingress": rules}
    if app == 0:
        spec = {"podSelector": {}, "policyTypes": ["Ingress"]}
    elif app % 7 == 1:
        spec["egress"] = [{"to": draw.sample(peers, 2)}, {"to": [{"ipBlock": {"cidr": f"203.0.{space}.0/24"}}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": f"ns-{space}", "name": f"policy-{app}"},
        "spec": spec,
    }


def _world(pods: list[PlainPod], plain: PlainWorld) -> World:
    world = World()
    for name, labels in plain.namespaces.items():
        world.put(NamespaceRecord(cluster="bench", name=name, labels=tuple(labels.items())))
    for policy in plain.policies:
        world.put(parse_policy(policy))
    for pod in pods:
        ports = tuple(ContainerPort(port=port, name=name, protocol=protocol) for name, protocol, port in pod.ports)
        world.put(
            PodRecord(
                cluster="bench",
                namespace=pod.namespace,
                name=pod.name,
                labels=tuple(sorted(pod.labels.items())),
                addresses=(pod.address,),
                phase="Running",
                ports=ports,
            )
        )
    return world


def _end(pod: PlainPod) -> End:
    return End(kind=EndKind.POD, namespace=pod.namespace, name=pod.name)


def main() -> int:
    draw = random.Random(1)
    pods = _pods()
    spaces = {f"ns-{number}": {"team": f"team-{number % 7}"} for number in range(NAMESPACES)}
    plain = PlainWorld(spaces, [_policy(number, draw) for number in range(POLICIES)])
    begun = time.process_time()
    world = _world(pods, plain)
    figure("netpol", "take in 5,000 pods and 1,000 policies", time.process_time() - begun, "s")
    targets = [(pod, PORTS[number % 3][0]) for number, pod in enumerate(draw.sample(pods, DESTINATIONS))]
    sources, ends = [_end(pod) for pod in pods], [(_end(pod), port) for pod, port in targets]
    begun = time.process_time()
    allowed = sum(
        decide(world, Question(source=source, destination=end, port=port)) is Predicted.ALLOW
        for end, port in ends
        for source in sources
    )
    ours = time.process_time() - begun
    asked = len(sources) * len(ends)
    figure("netpol", "share allowed", allowed / asked, "ratio")
    ok = figure("netpol", f"{asked:,} verdicts", ours, "s", 5.0)
    ok &= _beside(world, plain, pods, targets, draw, ours / asked)
    ok &= _explanations(world, sources, ends, draw)
    return 0 if _changes(world, plain, sources, ends, draw) and ok else 1


def _beside(
    world: World,
    plain: PlainWorld,
    pods: list[PlainPod],
    targets: list[tuple[PlainPod, int]],
    draw: random.Random,
    ours: float,
) -> bool:
    """The same questions to the word-by-word evaluation."""
    pairs = [(draw.choice(pods), *draw.choice(targets)) for _ in range(SAMPLE)]
    begun = time.process_time()
    expected = [plain.allows(source, target, "TCP", port) for source, target, port in pairs]
    theirs = (time.process_time() - begun) / SAMPLE
    found = [
        decide(world, Question(source=_end(source), destination=_end(target), port=port)) is Predicted.ALLOW
        for source, target, port in pairs
    ]
    if found != expected:
        raise AssertionError("the evaluator and the word-by-word evaluation disagree")
    return figure("netpol", "verdict / word by word", ours / theirs, "ratio", 0.1)


def _explanations(world: World, sources: list[End], ends: list[tuple[End, int]], draw: random.Random) -> bool:
    """Whole answers, each for a pair that was not asked before."""
    taken = []
    for _ in range(EXPLANATIONS):
        end, port = draw.choice(ends)
        question = Question(source=draw.choice(sources), destination=end, port=port)
        begun = time.process_time()
        evaluate(world, question)
        taken.append(time.process_time() - begun)
    figure("netpol", "explanation, 99th percentile", statistics.quantiles(taken, n=100)[98] * 1000, "ms")
    return figure("netpol", "explanation, median", statistics.median(taken) * 1000, "ms", 1.0)


def _changes(
    world: World, plain: PlainWorld, sources: list[End], ends: list[tuple[End, int]], draw: random.Random
) -> bool:
    """One policy changes: its parsing, and the next verdict in its namespace."""
    taken = []
    for policy in draw.sample(plain.policies, CHANGES):
        question = Question(source=draw.choice(sources), destination=ends[0][0], port=80)
        begun = time.process_time()
        world.put(parse_policy(policy))
        decide(world, question)
        taken.append(time.process_time() - begun)
    return figure("netpol", "a policy changes, next verdict", statistics.median(taken) * 1000, "ms", 5.0)
