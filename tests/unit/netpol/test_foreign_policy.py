"""Policies of Cilium, Calico and others: recognised; where one may select either end the answer is unknown."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netpol.policy import ObjectKey
from kubeshield_tui.evidence.netpol.tiers import EVERY_POLICY
from kubeshield_tui.evidence.netpol.tri import Assumption
from kubeshield_tui.evidence.netpol.world import World
from tests.unit.netpol.stage import ALLOW, PODS, SHOP, UNKNOWN, ask, hangs_on, policy, reading_of, says


def shop(kind: str, spec: str, namespace: str = "shop", group: str = "cilium.io/v2") -> World:
    """The shop with a foreign policy."""
    names = f"{{name: foreign, namespace: {namespace}}}" if namespace else "{name: foreign}"
    text = f"\n---\napiVersion: {group}\nkind: {kind}\nmetadata: {names}\nspec: {spec}\n"
    reading = reading_of(SHOP + PODS + text)
    assert all("what depends on it is unknown" in problem.text for problem in reading.problems)
    return reading.world()


CALICO = "crd.projectcalico.org/v1"
DB_ONLY = {("shop/web", "shop/db"), ("shop/db", "ops/web")}
NOBODY: set[tuple[str, str]] = set()
SHOP_ALL = {("shop/web", "shop/db"), ("shop/db", "ops/web"), ("203.0.113.9", "shop/web")}
EVERYBODY = {*SHOP_ALL, ("ops/web", "ops/agent")}


@pytest.mark.parametrize(
    ("kind", "group", "namespace", "spec", "unknown"),
    [
        ("CiliumNetworkPolicy", "cilium.io/v2", "shop", "{endpointSelector: {matchLabels: {app: db}}}", DB_ONLY),
        ("CiliumNetworkPolicy", "cilium.io/v2", "shop", "{endpointSelector: {matchLabels: {'k8s:app': db}}}", DB_ONLY),
        ("CiliumNetworkPolicy", "cilium.io/v2", "shop", "{endpointSelector: {}}", SHOP_ALL),
        ("CiliumNetworkPolicy", "cilium.io/v2", "shop", "{endpointSelector: {matchLabels: {app: none}}}", NOBODY),
        (
            "CiliumNetworkPolicy",
            "cilium.io/v2",
            "shop",
            "{endpointSelector: {matchLabels: {'k8s:io.cilium.k8s.policy.serviceaccount': x}}}",
            SHOP_ALL,
        ),
        ("CiliumClusterwideNetworkPolicy", "cilium.io/v2", "", "{endpointSelector: {}}", EVERYBODY),
        ("CiliumClusterwideNetworkPolicy", "cilium.io/v2", "", "{nodeSelector: {}}", EVERYBODY),
        ("CiliumNetworkPolicy", "cilium.io/v2", "shop", "nonsense", SHOP_ALL),
        ("NetworkPolicy", CALICO, "shop", "{selector: \"app == 'db'\"}", DB_ONLY),
        ("NetworkPolicy", CALICO, "shop", "{selector: app == 'db' && !has(tier)}", DB_ONLY),
        ("NetworkPolicy", CALICO, "shop", "{selector: \"app == 'db' && has(tier)\"}", NOBODY),
        ("NetworkPolicy", CALICO, "shop", "{selector: \"app == 'db' || app == 'x'\"}", SHOP_ALL),
        ("NetworkPolicy", CALICO, "shop", "{selector: \"app in {'x'}\"}", SHOP_ALL),
        ("NetworkPolicy", CALICO, "shop", "{}", SHOP_ALL),
        ("GlobalNetworkPolicy", CALICO, "", "{selector: all()}", EVERYBODY),
        ("GlobalNetworkPolicy", CALICO, "", "{namespaceSelector: \"team == 'red'\"}", SHOP_ALL),
        ("GlobalNetworkPolicy", "projectcalico.org/v3", "", "{selector: \"app != 'db'\"}", EVERYBODY),
        ("StagedNetworkPolicy", CALICO, "shop", "{}", NOBODY),
        ("ClusterNetworkPolicy", "crd.antrea.io/v1beta1", "", "{}", EVERYBODY),
        ("SomeNetworkPolicy", "example.org/v1", "shop", "{}", SHOP_ALL),
        ("SomeNetworkPolicy", "example.org/v1", "", "{}", EVERYBODY),
    ],
)
def test_who_is_unknown(kind: str, group: str, namespace: str, spec: str, unknown: set[tuple[str, str]]) -> None:
    world = shop(kind, spec, namespace, group)
    found = {pair for pair in EVERYBODY if says(world, *pair) == UNKNOWN}
    assert found == unknown
    assert {says(world, *pair) for pair in EVERYBODY - unknown} <= {ALLOW}
    for pair in unknown:
        verdict = ask(world, *pair)
        assert hangs_on(verdict) == {Assumption.FOREIGN_POLICY}
        assert "foreign" in verdict.assumptions[0].text


def test_nodes_may_be_selected_by_policies_for_hosts() -> None:
    world = shop("CiliumClusterwideNetworkPolicy", "{nodeSelector: {}}", "")
    assert says(world, "203.0.113.9", "node:n1") == UNKNOWN
    assert says(shop("GlobalNetworkPolicy", "{}", "", CALICO), "203.0.113.9", "node:n1") == UNKNOWN
    assert says(shop("CiliumNetworkPolicy", "{endpointSelector: {}}"), "203.0.113.9", "node:n1") == ALLOW
    cluster_wide = shop("CiliumClusterwideNetworkPolicy", "{endpointSelector: {}}", "")
    assert says(cluster_wide, "203.0.113.9", "node:n1") == ALLOW


@pytest.mark.parametrize("order", [("shop/web", "ops/web"), ("ops/web", "shop/web")])
def test_pods_that_are_alike_are_told_apart_by_their_namespace(order: tuple[str, str]) -> None:
    world = shop("CiliumNetworkPolicy", "{endpointSelector: {}}")
    found = {name: says(world, "ops/agent", name) for name in order}
    assert found == {"shop/web": UNKNOWN, "ops/web": ALLOW}
    assert {name: says(world, name, "ops/agent") for name in order} == found


def test_a_pod_still_reaches_itself_and_left_out_it_is_not_there() -> None:
    world = shop("CiliumNetworkPolicy", "{endpointSelector: {}}")
    assert says(world, "shop/db", "shop/db") == ALLOW
    from kubeshield_tui.evidence.netpol.explain import evaluate

    verdict = evaluate(world, ask(world, "shop/web", "shop/db").question, EVERY_POLICY)
    assert verdict.verdict == ALLOW


def test_one_of_calico_and_one_of_kubernetes_of_the_same_name_are_two() -> None:
    foreign = (
        f"\n---\napiVersion: {CALICO}\nkind: NetworkPolicy\nmetadata: {{name: policy, namespace: shop}}\nspec: {{}}\n"
    )
    world = reading_of(SHOP + PODS + policy("podSelector: {}") + foreign).world()
    assert {item.key for item in world.policies} == {
        ObjectKey(kind="NetworkPolicy", namespace="shop", name="policy"),
        ObjectKey(kind="NetworkPolicy.crd.projectcalico.org", namespace="shop", name="policy"),
    }
    world.drop(ObjectKey(kind="NetworkPolicy.crd.projectcalico.org", namespace="shop", name="policy"))
    assert says(world, "ops/web", "shop/db") == "deny"
