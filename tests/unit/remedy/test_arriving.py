"""Closing a port of pods to all but those that must, or do, reach it."""

from __future__ import annotations

import yaml

from kubeshield_tui.evidence.netpol.explain import decide
from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.party import Question
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.arriving import close_arriving
from kubeshield_tui.judgement.trial import KnownFlow, try_policy
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.prediction import Predicted
from tests.unit.remedy.estates import end, flow, pod, policy, world_of

UNWANTED = flow("dev/box", "shop/cart", 9090, closing=True, must=Must.BLOCKED)


def policy_body(namespace: str, name: str) -> dict[str, object]:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}


def said(world: World, source: str, destination: str, port: int) -> Predicted:
    return decide(world, Question(source=end(source), destination=end(destination), port=port))


def closed(world: World, *flows: KnownFlow) -> World:
    remedy = close_arriving(world, flows)
    assert remedy.draft is not None, remedy
    assert yaml.safe_load(remedy.draft.text) == remedy.draft.body
    made = world.copy()
    made.put(remedy.draft.policy)
    return made


def test_a_stranger_is_kept_out_and_the_own_namespace_is_not() -> None:
    after = closed(world_of(), UNWANTED)
    assert said(after, "dev/box", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "dev/tool", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "198.51.100.10", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "shop/web", "shop/cart", 9090) is Predicted.ALLOW


def test_other_ports_of_the_pods_stay_as_they_were() -> None:
    after = closed(world_of(), UNWANTED, flow("dev/box", "shop/cart", 7000))
    for port in (9091, 7000):  # declared, and seen open
        assert said(after, "dev/box", "shop/cart", port) is Predicted.ALLOW
    assert said(after, "dev/box", "shop/web", 8080) is Predicted.ALLOW  # other pods


def test_whoever_is_known_to_reach_it_stays() -> None:
    known = (
        flow("dev/tool", "shop/cart", 9090),
        flow("198.51.100.10", "shop/cart", 9090, must=Must.REACHABLE),
        flow("kube-system/dns", "shop/cart", 9090, must=Must.BLOCKED),
    )
    after = closed(world_of(), UNWANTED, *known)
    assert said(after, "dev/box", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "dev/tool", "shop/cart", 9090) is Predicted.ALLOW
    assert said(after, "198.51.100.10", "shop/cart", 9090) is Predicted.ALLOW
    assert said(after, "198.51.100.11", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "kube-system/dns", "shop/cart", 9090) is Predicted.DENY


def test_inside_a_namespace_only_known_ones_are_admitted() -> None:
    unwanted = flow("shop/web", "shop/cart", 9090, closing=True, must=Must.BLOCKED)
    other = pod("shop", "api", "10.244.0.6", app="api")
    after = closed(world_of(other), unwanted, flow("shop/api", "shop/cart", 9090))
    assert said(after, "shop/web", "shop/cart", 9090) is Predicted.DENY
    assert said(after, "shop/api", "shop/cart", 9090) is Predicted.ALLOW


def test_a_service_names_its_pods_by_its_selector() -> None:
    world = world_of()
    unwanted = flow("dev/box", "service:shop/web", 80, closing=True)
    remedy = close_arriving(world, [unwanted])
    assert remedy.draft is not None
    assert remedy.draft.name == "kubeshield-ingress-web"
    assert remedy.draft.subject == {"matchLabels": {"app": "web"}}
    after = closed(world, unwanted)
    assert said(after, "dev/box", "service:shop/web", 80) is Predicted.DENY
    assert said(after, "dev/box", "shop/web", 8080) is Predicted.DENY


def test_labels_of_one_roll_out_are_not_asked_for() -> None:
    labels = {"app": "db", "pod-template-hash": "abc", "zone": "a"}
    world = world_of(pod("shop", "db", "10.244.0.7", ports=(5432,), **labels))
    remedy = close_arriving(world, [flow("dev/box", "shop/db", 5432, closing=True)])
    assert remedy.draft is not None
    assert remedy.draft.subject == {"matchLabels": {"app": "db"}}


def test_where_another_policy_admits_it_that_rule_is_named() -> None:
    admits = policy(
        "shop",
        "open",
        ingress=[
            {"from": [{"namespaceSelector": {}, "podSelector": {}}], "ports": [{"port": 9090}]},
            {"from": [{"podSelector": {}}]},
        ],
    )
    remedy = close_arriving(world_of(admits), [UNWANTED])
    assert remedy.draft is None
    (rule,) = remedy.admitting
    assert rule.text.startswith("NetworkPolicy shop/open ingress[0] admits it (port 9090 ok, from[0] namespaceSelector")
    assert rule.text.endswith("so that it leaves out dev/box")


def test_a_pod_without_labels_is_no_reason_to_isolate_its_whole_namespace() -> None:
    remedy = close_arriving(world_of(), [flow("shop/web", "dev/box", 7000, closing=True)])
    assert remedy.draft is None
    assert remedy.notes == ("no lasting label tells dev/box from the other pods of dev",)


def test_where_a_policy_can_not_be_read_nothing_is_laid_over_it() -> None:
    world = world_of()
    broken = {**policy_body("shop", "odd"), "spec": {"podSelector": {}, "ingress": "everybody"}}
    world.put(parse_policy(broken))
    remedy = close_arriving(world, [UNWANTED])
    assert remedy.draft is None
    (rule,) = remedy.admitting
    assert rule.text.startswith("NetworkPolicy shop/odd may admit it: read it (")


def test_a_second_port_does_not_open_the_first() -> None:
    """A policy in place of ours that closes another port would leave the first one open to everybody."""
    once = closed(world_of(), UNWANTED)
    remedy = close_arriving(once, [flow("dev/box", "shop/cart", 9091, closing=True)])
    assert remedy.draft is None
    (rule,) = remedy.admitting
    assert rule.text.startswith("NetworkPolicy shop/kubeshield-ingress-cart ingress[1] admits it (port 9091 ok")
    assert rule.change == "it admits everybody; name in `from` those that are needed"


def test_a_pod_on_its_nodes_network_is_out_of_reach() -> None:
    host = pod("shop", "host", "172.30.0.1", ports=(9100,)).replace("spec:\n", "spec:\n  hostNetwork: true\n")
    remedy = close_arriving(world_of(host), [flow("dev/box", "shop/host", 9100, closing=True)])
    assert remedy.draft is None
    assert remedy.notes == ("shop/host is on its node's network: no policy reaches it",)


def test_the_trial_names_what_would_break() -> None:
    world = world_of()
    remedy = close_arriving(world, [UNWANTED])
    assert remedy.draft is not None
    late = flow("dev/tool", "shop/cart", 9090)  # seen open after the draft was made
    trial = try_policy(world, remedy.draft.policy, [UNWANTED, late, flow("shop/web", "shop/cart", 9090)])
    assert trial.asked == 3
    assert [flip.flow for flip in trial.wanted] == [UNWANTED]
    assert [flip.text for flip in trial.broken] == ["dev/tool -> shop/cart:9090/TCP: allow -> deny"]
    assert trial.closes
    assert not trial.is_safe
    assert said(world, "dev/box", "shop/cart", 9090) is Predicted.ALLOW  # the world itself is as it was
