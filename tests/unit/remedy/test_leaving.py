"""Closing addresses to the pods of a namespace: what is closed, what stays, what a new policy can't do."""

from __future__ import annotations

import pytest
import yaml

from kubeshield_tui.discovery.catalogue import builtin
from kubeshield_tui.evidence.netpol.explain import decide
from kubeshield_tui.evidence.netpol.manifests import Reading
from kubeshield_tui.evidence.netpol.party import Question
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.draft import Draft
from kubeshield_tui.judgement.leaving import Closed
from kubeshield_tui.judgement.possible import possible_flows
from kubeshield_tui.judgement.remedy import Remedy, close_leaving
from kubeshield_tui.judgement.trial import try_policy
from kubeshield_tui.judgement.walls import api_addresses, metadata_addresses
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.prediction import Predicted
from tests.unit.remedy.estates import API, METADATA, end, flow, pod, policy, world_of

TO_METADATA = (Closed(address=METADATA, says="cloud metadata"),)
CHOICES = [
    Profile(ipblock_matches_pods=pods, ipblock_matches_nodes=nodes, pod_to_own_node=False)
    for pods in (True, False)
    for nodes in (True, False)
]


def said(world: World, source: str, destination: str, port: int, protocol: str = "TCP") -> Predicted:
    return decide(world, Question(source=end(source), destination=end(destination), port=port, protocol=protocol))


def with_draft(world: World, remedy: Remedy) -> World:
    assert remedy.draft is not None, remedy
    made = world.copy()
    made.put(remedy.draft.policy)
    return made


@pytest.mark.parametrize("profile", CHOICES)
def test_metadata_is_closed_and_all_else_stays(profile: Profile) -> None:
    world = world_of(profile=profile)
    after = with_draft(world, close_leaving(world, "shop", TO_METADATA))
    for source in ("shop/web", "shop/cart"):
        assert said(after, source, METADATA, 80) is Predicted.DENY
        for destination, port, protocol in (
            ("shop/cart" if source == "shop/web" else "dev/box", 9090, "TCP"),
            ("service:kube-system/kube-dns", 53, "UDP"),
            ("10.96.0.10", 53, "UDP"),
            ("198.51.100.10", 443, "TCP"),
            ("198.51.100.10", 443, "UDP"),
        ):
            assert said(after, source, destination, port, protocol) is Predicted.ALLOW, (source, destination)
    assert said(after, "dev/box", METADATA, 80) is Predicted.ALLOW  # another namespace


@pytest.mark.parametrize("profile", CHOICES)
@pytest.mark.parametrize("source", ["shop/web", "shop/cart"])
def test_the_api_is_closed_by_every_address_that_leads_to_it(profile: Profile, source: str) -> None:
    world = world_of(profile=profile)
    closed = api_addresses(world)
    assert [(item.address, item.port) for item in closed] == [(API, 6443), ("10.96.0.1", 0)]
    after = with_draft(world, close_leaving(world, "shop", closed))
    for destination, port in ((API, 6443), ("10.96.0.1", 443), ("service:default/kubernetes", 443)):
        assert said(after, source, destination, port) is Predicted.DENY
    assert said(after, source, "service:kube-system/kube-dns", 53, "UDP") is Predicted.ALLOW


def test_a_pod_on_the_api_servers_own_node_may_reach_it_whatever_is_written() -> None:
    world = world_of()
    after = with_draft(world, close_leaving(world, "shop", api_addresses(world)))
    assert said(after, "shop/web", API, 6443) is Predicted.UNKNOWN
    assert said(after, "shop/cart", API, 6443) is Predicted.DENY  # on the other node


def test_node_ports_at_the_address_of_the_api_stay() -> None:
    world = world_of(profile=Profile(ipblock_matches_pods=True, ipblock_matches_nodes=True))
    after = with_draft(world, close_leaving(world, "dev", api_addresses(world)))
    assert said(after, "dev/tool", API, 10250) is Predicted.DENY
    remedy = close_leaving(world, "dev", api_addresses(world))
    assert remedy.draft is not None
    kept = remedy.draft.parts[-1]
    assert kept.peers == ({"ipBlock": {"cidr": f"{API}/32"}},)
    assert {"protocol": "TCP", "port": 30080} in kept.ports


def test_what_is_needed_at_the_address_of_the_api_stays() -> None:
    world = world_of(profile=Profile(ipblock_matches_nodes=True))
    needed = flow("dev/tool", API, 9100)
    unwanted = flow("dev/box", API, 2379, must=Must.BLOCKED)
    after = with_draft(world, close_leaving(world, "dev", api_addresses(world), [needed, unwanted]))
    assert said(after, "dev/tool", API, 9100) is Predicted.ALLOW
    assert said(after, "dev/tool", API, 2379) is Predicted.DENY


def test_pods_that_need_the_api_are_left_out() -> None:
    world = world_of(profile=Profile(pod_to_own_node=False))
    needed = flow("shop/cart", "service:default/kubernetes", 443, must=Must.REACHABLE)
    remedy = close_leaving(world, "shop", api_addresses(world), [needed])
    after = with_draft(world, remedy)
    assert said(after, "shop/cart", API, 6443) is Predicted.ALLOW
    assert said(after, "shop/web", API, 6443) is Predicted.DENY


def test_two_walls_stand_together_whichever_came_first() -> None:
    """Two policies that each admit all but one address would admit each other's: one object holds both."""
    world = world_of(profile=Profile(pod_to_own_node=False))
    for first, second in ((TO_METADATA, api_addresses(world)), (api_addresses(world), TO_METADATA)):
        once = with_draft(world, close_leaving(world, "shop", first))
        both = with_draft(once, close_leaving(once, "shop", second))
        assert len(list(both.policies)) == 1
        assert said(both, "shop/web", METADATA, 80) is Predicted.DENY
        assert said(both, "shop/web", API, 6443) is Predicted.DENY
        assert said(both, "shop/web", "198.51.100.10", 443) is Predicted.ALLOW
        again = close_leaving(both, "shop", second)
        assert again.draft is not None
        assert again.draft.policy.egress == both.policies.get(again.draft.key).egress  # type: ignore[union-attr]


def test_a_port_that_an_earlier_policy_kept_is_closed_by_the_next() -> None:
    world = world_of(profile=Profile(ipblock_matches_nodes=True, pod_to_own_node=False))
    used = flow("shop/cart", API, 9100)
    once = with_draft(world, close_leaving(world, "shop", api_addresses(world), [used]))
    assert said(once, "shop/cart", API, 9100) is Predicted.ALLOW
    now = with_draft(once, close_leaving(once, "shop", [Closed(address=API, says="exporter", port=9100)]))
    assert said(now, "shop/cart", API, 9100) is Predicted.DENY
    assert said(now, "shop/cart", API, 6443) is Predicted.DENY


def test_pods_that_an_earlier_policy_left_out_are_left_out_by_the_next() -> None:
    world = world_of(profile=Profile(pod_to_own_node=False))
    needed = flow("shop/cart", "service:default/kubernetes", 443, must=Must.REACHABLE)
    once = with_draft(world, close_leaving(world, "shop", api_addresses(world), [needed]))
    now = with_draft(once, close_leaving(once, "shop", TO_METADATA))
    assert said(now, "shop/cart", API, 6443) is Predicted.ALLOW
    assert said(now, "shop/web", METADATA, 80) is Predicted.DENY


def test_pods_that_are_isolated_already_get_no_more_than_they_had() -> None:
    isolated = policy("shop", "tight", podSelector={"matchLabels": {"app": "cart"}}, policyTypes=["Egress"])
    world = world_of(isolated)
    remedy = close_leaving(world, "shop", TO_METADATA)
    after = with_draft(world, remedy)
    assert said(after, "shop/cart", "198.51.100.10", 443) is Predicted.DENY  # a union would have opened it
    assert said(after, "shop/web", METADATA, 80) is Predicted.DENY
    assert remedy.admitting == ()


def test_a_pod_that_two_labels_isolate_does_not_open() -> None:
    labels = {"app": "web", "tier": "front"}
    isolated = policy("shop", "tight", podSelector={"matchLabels": labels}, policyTypes=["Egress"])
    others = (
        pod("shop", "both", "10.244.0.6", app="web", tier="front"),
        pod("shop", "other", "10.244.0.7", app="api", tier="front"),
    )
    world = world_of(isolated, *others)
    remedy = close_leaving(world, "shop", TO_METADATA)
    after = with_draft(world, remedy)
    assert said(after, "shop/both", "198.51.100.10", 443) is Predicted.DENY
    covered = {name for name in ("web", "cart", "other") if said(after, f"shop/{name}", METADATA, 80) is Predicted.DENY}
    missed = {"web", "cart", "other"} - covered
    assert len(missed) == 1
    assert any(f"shop/{name}" in note for name in missed for note in remedy.notes)


def test_where_another_policy_admits_it_that_rule_is_named() -> None:
    admits = policy("shop", "all", policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, {}])
    world = world_of(admits)
    remedy = close_leaving(world, "shop", TO_METADATA)
    assert remedy.draft is None
    told = [rule.text for rule in remedy.admitting]
    assert len(told) == 2
    assert "NetworkPolicy shop/all egress[0] admits it" in told[0]
    assert "add 169.254.169.254/32 to the except of to[0]" in told[0]
    assert "NetworkPolicy shop/all egress[1] admits it" in told[1]
    assert "admits everybody; name in `to` those that are needed" in told[1]


def test_an_isolated_namespace_that_admits_nothing_needs_nothing() -> None:
    world = world_of(policy("shop", "deny", policyTypes=["Egress"]))
    remedy = close_leaving(world, "shop", TO_METADATA)
    assert remedy.draft is None
    assert remedy.admitting == ()


def test_pods_of_tomorrow_that_another_policy_isolates_are_left_out_today() -> None:
    everybody = policy("empty", "deny", policyTypes=["Egress"])
    some = policy("dev", "tight", podSelector={"matchLabels": {"app": "later"}}, policyTypes=["Egress"])
    world = world_of(everybody, some)
    assert close_leaving(world, "empty", TO_METADATA).draft is None
    after = with_draft(world, close_leaving(world, "dev", TO_METADATA))
    reading = Reading()
    reading.take(pod("dev", "late", "10.244.0.77", app="later"), "later.yaml")
    for record in reading.world()._pods.values():
        after.put(record)
    assert said(after, "dev/late", "198.51.100.10", 443) is Predicted.DENY
    assert said(after, "dev/tool", METADATA, 80) is Predicted.DENY


def test_dual_stack_gets_a_rule_for_each_family() -> None:
    closed = (*TO_METADATA, Closed(address="fd00:ec2::254", says="metadata"))
    both = pod("shop", "six", "fd00::6", app="six")
    remedy = close_leaving(world_of(both), "shop", closed)
    assert remedy.draft is not None
    blocks = [peer["ipBlock"] for part in remedy.draft.parts for peer in part.peers if "ipBlock" in peer]
    assert blocks == [
        {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]},
        {"cidr": "::/0", "except": ["fd00:ec2::254/128"]},
    ]
    single = close_leaving(world_of(), "shop", closed)
    assert single.draft is not None
    assert "::/0" not in single.draft.text


def test_the_api_servers_own_pods_are_left_out_of_the_pods() -> None:
    server = pod("kube-system", "kube-apiserver-n1", API, component="kube-apiserver")
    server = server.replace("spec:\n", "spec:\n  hostNetwork: true\n")
    for peer in (True, False):
        world = world_of(server, profile=Profile(hostnetwork_peer=peer, ipblock_matches_nodes=True))
        after = with_draft(world, close_leaving(world, "dev", api_addresses(world)))
        assert said(after, "dev/tool", API, 6443) is Predicted.DENY


def test_names_are_asked_where_the_dns_pods_listen() -> None:
    remedy = close_leaving(world_of(), "shop", TO_METADATA)
    assert remedy.draft is not None
    assert [(item["protocol"], item["port"]) for item in remedy.draft.parts[0].ports] == [
        ("TCP", 53),
        ("UDP", 53),
        ("UDP", 5353),
    ]


@pytest.mark.parametrize("closed", ["api", "metadata", "both"])
def test_the_text_is_the_object(closed: str) -> None:
    world = world_of()
    api, metadata = api_addresses(world), metadata_addresses(builtin())
    remedy = close_leaving(world, "shop", {"api": api, "metadata": metadata, "both": (*api, *metadata)}[closed])
    draft = remedy.draft
    assert isinstance(draft, Draft)
    assert yaml.safe_load(draft.text) == draft.body
    assert all(len(line) <= 130 for line in draft.text.splitlines())
    assert draft.body["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "kubeshield"}


def test_what_would_be_cut_is_told_beforehand() -> None:
    world = world_of(profile=Profile(ipblock_matches_pods=True, ipblock_matches_nodes=True, pod_to_own_node=False))
    closed = api_addresses(world)
    remedy = close_leaving(world, "shop", closed)
    assert remedy.draft is not None
    trial = try_policy(world, remedy.draft.policy, possible_flows(world, remedy.draft, closed))
    assert trial.closes, [flow.text for flow in trial.still_open]
    assert not trial.opened
    assert {flip.text for flip in trial.other if flip.after is Predicted.DENY} == {
        f"shop/{name} -> node:n1:10250/TCP: allow -> deny" for name in ("web", "cart")
    }
