"""What comes, changes and goes: ends that no policy told apart until now are told apart from now on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.parse import unread_policies
from kubeshield_tui.evidence.netpol.party import parse_end
from kubeshield_tui.evidence.netpol.policy import ObjectKey
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    ContainerPort,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    ServicePort,
    ServiceRecord,
)
from tests.unit.netpol.stage import ALLOW, DENY, UNKNOWN, live, says

PAIR = ("shop/one", "shop/two")


def pod(name: str, address: str, label: str = "x", port: int = 80, node: str = "n1") -> PodRecord:
    namespace, _, own = name.partition("/")
    return PodRecord(
        cluster="c",
        namespace=namespace,
        name=own,
        labels=(("app", label),),
        addresses=(address,),
        node=node,
        phase="Running",
        ports=(ContainerPort(port=port, name="web"),),
    )


@pytest.fixture
def world() -> World:
    """Two pods that nothing tells apart yet, and a third that asks them; every answer is remembered."""
    made = World(Profile(ipblock_matches_pods=True))
    for space in ("shop", "ops"):
        made.put(NamespaceRecord(cluster="c", name=space, labels=(("team", space),)))
    for node, address in (("n1", "192.168.0.1"), ("n2", "192.168.0.2")):
        made.put(NodeRecord(cluster="c", name=node, addresses=(address,)))
    made.put(pod("shop/one", "10.0.0.1", "a", 80))
    made.put(pod("shop/two", "10.0.0.2", "b", 81))
    made.put(pod("ops/asks", "10.0.1.1"))
    assert answers(made) == [ALLOW, ALLOW]
    return made


def answers(world: World, port: int = 80) -> list[str]:
    """Whether the third reaches the two, and both orders of asking say the same."""
    found = [says(world, "ops/asks", name, port) for name in PAIR]
    assert [says(world, "ops/asks", name, port) for name in reversed(PAIR)] == found[::-1]
    return found


def asked_by(world: World) -> list[str]:
    """Whether the two reach the third."""
    return [says(world, name, "ops/asks") for name in PAIR]


def test_a_label_that_was_not_asked_for_before(world: World) -> None:
    world.put(live({"podSelector": {"matchLabels": {"app": "a"}}}))
    assert answers(world) == [DENY, ALLOW]


def test_a_value_that_was_not_asked_for_before(world: World) -> None:
    world.put(live({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, name="first"))
    assert answers(world) == [DENY, DENY]
    world.put(live({"podSelector": {"matchLabels": {"app": "b"}}, "ingress": [{}]}, name="second"))
    assert answers(world) == [DENY, ALLOW]


def test_a_peer_that_was_not_told_apart_before(world: World) -> None:
    rule = {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "b"}}}]}
    assert asked_by(world) == [ALLOW, ALLOW]
    world.put(live({"podSelector": {}, "ingress": [rule]}, "ops"))
    assert asked_by(world) == [DENY, ALLOW]


def test_a_port_name_that_was_not_asked_for_before(world: World) -> None:
    world.put(live({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}))
    assert answers(world) == [ALLOW, ALLOW]
    world.put(live({"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]}))
    assert answers(world) == [ALLOW, DENY]


def test_a_bound_that_was_not_there_before(world: World) -> None:
    world.put(live({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}]}, "ops"))
    assert asked_by(world) == [ALLOW, DENY]


def test_policies_go_and_change(world: World) -> None:
    lock = live({"podSelector": {}})
    world.put(lock)
    assert answers(world) == [DENY, DENY]
    world.put(live({"podSelector": {"matchLabels": {"app": "b"}}}))
    assert answers(world) == [ALLOW, DENY]
    world.drop(lock.key)
    assert answers(world) == [ALLOW, ALLOW]
    world.drop(lock.key)
    assert (len(world.policies), world.policies.get(lock.key)) == (0, None)


def test_policies_that_could_not_be_read(world: World) -> None:
    world.put(unread_policies("networkpolicies", "forbidden", "shop"))
    assert answers(world) == [UNKNOWN, UNKNOWN]
    assert says(world, "ops/asks", "ops/asks") == ALLOW
    world.put(unread_policies("networkpolicies", "forbidden"))
    assert says(world, "192.0.2.1", "ops/asks") == UNKNOWN


def test_labels_of_namespaces_change_and_go(world: World) -> None:
    rule = {"from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}]}
    world.put(live({"podSelector": {}, "ingress": [rule]}))
    assert answers(world) == [ALLOW, ALLOW]
    world.put(NamespaceRecord(cluster="c", name="ops", labels=(("team", "other"),)))
    assert answers(world) == [DENY, DENY]
    world.drop(ObjectKey(kind="Namespace", namespace="", name="ops"))
    assert answers(world) == [UNKNOWN, UNKNOWN]


def test_pods_change_and_go(world: World) -> None:
    world.put(live({"podSelector": {"matchLabels": {"app": "a"}}}))
    assert answers(world) == [DENY, ALLOW]
    world.put(pod("shop/two", "10.0.0.2", "a"))
    assert answers(world) == [DENY, DENY]
    world.put(pod("shop/one", "10.0.0.1", "c"))
    assert answers(world) == [ALLOW, DENY]
    world.put(replace(pod("shop/one", "10.0.0.1", "c"), phase="Succeeded"))
    assert says(world, "ops/asks", "shop/one") == UNKNOWN
    world.drop(ObjectKey(kind="Pod", namespace="shop", name="two"))
    assert says(world, "ops/asks", "shop/two") == UNKNOWN


def test_addresses_follow_their_holders(world: World) -> None:
    world.put(live({"podSelector": {}}))
    assert says(world, "ops/asks", "10.0.0.1") == DENY
    world.put(pod("shop/one", "10.0.0.9"))
    assert says(world, "ops/asks", "10.0.0.1") == ALLOW, "it is outside now"
    assert says(world, "ops/asks", "10.0.0.9") == DENY
    assert says(world, "192.168.0.1", "shop/one") == ALLOW, "its own node"
    world.put(NodeRecord(cluster="c", name="n1", addresses=("192.168.0.7",)))
    assert says(world, "192.168.0.1", "shop/one") == DENY
    world.drop(ObjectKey(kind="Node", namespace="", name="n1"))
    assert says(world, "192.168.0.7", "shop/one") == DENY


def test_services_and_what_is_behind_them_change_and_go(world: World) -> None:
    world.put(live({"podSelector": {"matchLabels": {"app": "a"}}}))
    ports = (ServicePort(port=80, node_port=30080),)
    service = ServiceRecord(namespace="shop", name="front", addresses=("10.96.0.1",), ports=ports)
    world.put(service)
    assert says(world, "ops/asks", "10.96.0.1") == UNKNOWN, "nothing is behind it"
    slices = [
        BackendRecord(
            namespace="shop",
            name=f"front-{number}",
            service="front",
            backends=(Backend(address=f"10.0.0.{number}"),),
            ports=(BackendPort(port=80),),
        )
        for number in (1, 2)
    ]
    world.put(slices[0])
    assert says(world, "ops/asks", "service:shop/front") == DENY
    world.put(slices[1])
    assert says(world, "ops/asks", "service:shop/front") == UNKNOWN
    world.drop(ObjectKey(kind="EndpointSlice", namespace="shop", name="front-1"))
    assert says(world, "ops/asks", "service:shop/front") == ALLOW
    world.put(replace(slices[1], service="other"))
    assert says(world, "ops/asks", "service:shop/front") == UNKNOWN
    world.drop(ObjectKey(kind="Service", namespace="shop", name="front"))
    assert says(world, "ops/asks", "10.96.0.1") == ALLOW
    assert list(world.services) == []


def test_what_is_known_of_the_plugin_changes(world: World) -> None:
    world.put(live({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}))
    for value, expected in ((True, ALLOW), (None, UNKNOWN), (False, DENY)):
        world.profile = Profile(ipblock_matches_pods=value)
        assert answers(world) == [expected, expected]


@pytest.mark.parametrize("text", ["shop/web", "node:n1", "service:shop/web", "203.0.113.9", "2001:db8::1"])
def test_ends_are_written_as_they_are_read(text: str) -> None:
    end = parse_end(text)
    assert end is not None
    assert end.text == text


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "/b", "a/b/c", "node:", "service:x", "service:/x", "10.0.0.1:80", "pod:a/"]
)
def test_what_is_no_end(text: str) -> None:
    assert parse_end(text) is None
