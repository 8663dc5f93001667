"""Judging a full grid: 10,000 endpoints by 20 vantages under policies, from answers to verdicts, and what if.

Ratios to nothing: seconds of this thread, which a busy machine stretches little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from kubeshield_tui.cluster.resources import policy_record
from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    ClusterFacts,
    Inventory,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    Recognition,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.model.endpoint import Endpoint, PodRef, Scope
from kubeshield_tui.model.ids import CellKey, endpoint_id
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.one_failure import OneFailure
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.what_if import WhatIf
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.settings.schema import Settings
from tests.bench.figure import figure
from tests.unit.estate import answer, vantage

ENDPOINTS, VANTAGES, NAMESPACES, NODES = 10_000, 20, 100, 50
AT = 1_700_000_000.0
CALICO = Recognition(what="policy-engine", name="calico", evidence="DaemonSet kube-system/calico-node")


def _space(number: int) -> str:
    return f"team-{number % NAMESPACES:02}"


def _policies() -> tuple[PolicyRecord, ...]:
    """Each second namespace isolated, its fronts open to its neighbours, its backs to its fronts."""
    found = []
    for number in range(0, NAMESPACES, 2):
        peers = [{"namespaceSelector": {"matchLabels": {"team": _space(number + 1)}}}]
        front: dict[str, Any] = {"podSelector": {"matchLabels": {"tier": "front"}}, "ingress": [{"from": peers}]}
        back = {
            "podSelector": {"matchLabels": {"tier": "back"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"tier": "front"}}}], "ports": [{"port": 8080}]}],
        }
        for name, spec in (("deny", {"podSelector": {}}), ("front", front), ("back", back)):
            record = policy_record({"metadata": {"name": name, "namespace": _space(number)}, "spec": spec}, "prod")
            assert record is not None
            found.append(record)
    return tuple(found)


def _estate() -> Store:
    endpoints, services, pods, slices = [], [], [], []
    for number in range(ENDPOINTS):
        space, name, node = _space(number), f"svc-{number}", f"n{number % NODES}"
        address, own = (
            f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
            f"10.244.{number >> 8}.{number & 255}",
        )
        labels = (("app", name), ("tier", "front" if number % 3 else "back"))
        pods.append(
            PodRecord(
                cluster="prod",
                namespace=space,
                name=f"{name}-0",
                labels=labels,
                addresses=(own,),
                node=node,
                phase="Running",
            )
        )
        services.append(
            ServiceRecord(
                namespace=space,
                name=name,
                addresses=(address,),
                selector=labels,
                ports=(ServicePort(port=80, target="8080"),),
            )
        )
        behind = Backend(address=own, pod=f"{name}-0", namespace=space, node=node)
        slices.append(
            BackendRecord(
                namespace=space,
                name=name,
                service=name,
                managed=True,
                backends=(behind,),
                ports=(BackendPort(port=8080),),
            )
        )
        endpoints.append(
            Endpoint(
                id=endpoint_id("prod", space, f"Service/{name}", 80, "tcp"),
                component="service",
                name=name,
                host=address,
                port=80,
                cluster="prod",
                namespace=space,
                object=f"Service/{name}",
                scope=Scope.CLUSTER,
                backends=(PodRef(namespace=space, name=f"{name}-0"),),
                backend_port="8080",
            )
        )
    store = Store()
    inventory = Inventory(
        cluster=ClusterFacts(id="prod", server="", recognised=(CALICO,)),
        nodes=tuple(NodeRecord(cluster="prod", name=f"n{number}") for number in range(NODES)),
        namespaces=tuple(
            NamespaceRecord(cluster="prod", name=_space(number), labels=(("team", _space(number)),))
            for number in range(NAMESPACES)
        ),
        pods=tuple(pods),
        services=tuple(services),
        backends=tuple(slices),
        policies=_policies(),
    )
    store.apply(happened.ClusterRead(at=AT, inventory=inventory))
    for endpoint in endpoints:
        store.apply(happened.EndpointFound(at=AT, endpoint=endpoint))
    for number in range(VANTAGES):
        own = f"10.244.{number >> 8}.{number & 255}"
        source = vantage(f"pod:{_space(number)}/svc-{number}-0", node=f"n{number}", addresses=(own,), cluster="prod")
        store.apply(happened.VantageAdded(at=AT, vantage=source))
    return store


def _timed(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return (time.thread_time() - begun) * 1000


def main() -> int:
    tune_collector()  # as a session does
    store = _estate()
    chains = Chains(store, Worlds(store), Firewalls(store), Settings())
    expectations = Expectations(lambda: store.clusters)
    judge = Judge(store.endpoints, store.vantages, expectations, chains.of)
    keys = [CellKey(endpoint, source) for endpoint in store.endpoints for source in store.vantages]
    built = _timed(lambda: [chains.of(key) for key in keys])
    figure("judge", "200,000 chains, from nothing", built, "ms")
    for number, key in enumerate(keys):
        # As it is where policies hold; one in fifty is not as they say.
        denied = chains.of(key).prediction.verdict is Predicted.DENY
        state = State.FILTERED if denied is bool(number % 50) else State.OPEN
        observation = answer(key, AT, state)
        store.apply(happened.CellObserved(at=AT, observation=observation))
        judge.tell(observation)
    good = True
    for words in ("judged", "judged again"):
        spent = _timed(lambda: [judge.judge(key) for key in keys])
        good &= figure("judge", f"200,000 cells {words}", spent, "ms", 1000)
    for key in keys:
        outcome = judge.judge(key)
        assert outcome is not None
        store.apply(happened.CellJudged(at=AT, judgement=outcome.judgement))
    one = frozenset({"policy:prod/NetworkPolicy/team-00/deny"})
    kinds = frozenset({"ingress-policy", "egress-policy"})
    for words, left_out in (("policies", kinds), ("one policy", one)):
        recoloured = _timed(lambda left_out=left_out: asyncio.run(WhatIf(store, chains, left_out).work_out()))
        good &= figure("judge", f"what if: without {words}", recoloured, "ms", 200)
    good &= figure("judge", "one failure away", _timed(lambda: OneFailure(store)), "ms", 200)
    return 0 if good else 1
