"""Policies that protect nothing: who must say so, and how bad it is."""

from __future__ import annotations

import pytest

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import ClusterFacts, Inventory, PolicyRecord, Recognition
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.session.holes import Holes
from kubeshield_tui.session.store import Store
from kubeshield_tui.settings.schema import Settings

FLANNEL = Recognition(what="cni", name="flannel", evidence="DaemonSet kube-flannel/kube-flannel-ds")
CALICO = Recognition(what="policy-engine", name="calico", evidence="DaemonSet kube-system/calico-node")
TWO = tuple(PolicyRecord(cluster="prod", namespace="shop", name=name) for name in ("db", "web"))


def found(
    agents: tuple[Recognition, ...], policies: tuple[PolicyRecord, ...], shown: bool | None, said: str
) -> list[Finding]:
    store = Store()
    facts = ClusterFacts(id="prod", server="https://10.0.0.1", recognised=agents)
    store.apply(happened.ClusterRead(at=1, inventory=Inventory(cluster=facts, policies=policies)))
    if shown is not None:
        test = SelfTest(cluster="prod", enforced=shown, before="open (syn-ack)", after="open (syn-ack)")
        store.apply(happened.SelfTested(at=2, test=test))
    holes = Holes(store, store.apply, Settings(cni=(("prod", "enforces", said),) if said else ()))
    holes.finish()
    return [finding for finding in store.findings.values() if finding.code == "policies-not-enforced"]


@pytest.mark.parametrize(
    ("agents", "policies", "shown", "said", "severity"),
    [
        ((FLANNEL,), TWO, None, "", "medium"),
        ((FLANNEL,), TWO, False, "", "high"),
        ((CALICO,), TWO, False, "", "high"),
        ((), TWO, None, "no", "medium"),
        ((), (), False, "", "low"),
        ((FLANNEL,), (), None, "", ""),
        ((FLANNEL,), TWO, True, "", ""),
        ((FLANNEL,), TWO, None, "yes", ""),
        ((FLANNEL,), TWO, None, "unknown", ""),
        ((CALICO,), TWO, None, "", ""),
        ((), TWO, None, "", ""),
    ],
)
def test_only_where_it_is_known_and_worst_where_it_was_shown(
    agents: tuple[Recognition, ...], policies: tuple[PolicyRecord, ...], shown: bool | None, said: str, severity: str
) -> None:
    findings = found(agents, policies, shown, said)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


def test_it_says_by_what_and_names_the_policies() -> None:
    (finding,) = found((FLANNEL,), TWO, False, "")
    assert finding.title == "prod does not enforce NetworkPolicies: its 2 have no effect"
    assert finding.cluster == "prod"
    said = "\n".join(finding.because)
    for words in ("kube-flannel-ds", "self-test: open (syn-ack)", "shop/db, shop/web"):
        assert words in said


def test_a_test_in_a_cluster_that_was_not_read_counts() -> None:
    store = Store()
    test = SelfTest(cluster="prod", enforced=False, before="open (syn-ack)", after="open (syn-ack)")
    store.apply(happened.SelfTested(at=1, test=test))
    Holes(store, store.apply).finish()
    assert [finding.title for finding in store.findings.values()] == [
        "prod does not enforce NetworkPolicies: one would have no effect"
    ]
