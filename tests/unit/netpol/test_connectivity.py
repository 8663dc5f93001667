"""Everything at once: who may connect to whom, ports as ranges, addresses outside as ranges."""

from __future__ import annotations

from kubeshield_tui.evidence.netpol.connectivity import connectivity
from kubeshield_tui.evidence.netpol.document import connection_document, connection_line
from kubeshield_tui.evidence.netpol.world import World
from tests.unit.netpol.stage import SHOP, pod, policy, reading_of, world_of

PAIR = SHOP + pod("shop/web", "10.0.0.1") + pod("shop/db", "10.0.0.2", ports="{containerPort: 5432, name: pg}")
ALL = [{"protocol": protocol, "ports": "all"} for protocol in ("TCP", "UDP", "SCTP")]
EVERYWHERE = "0.0.0.0-255.255.255.255"
DB = "podSelector: {matchLabels: {app: db}}"


def listed(world: World) -> dict[tuple[str, str], list[object]]:
    return {(item.source, item.destination): connection_document(item)["connections"] for item in connectivity(world)}


def test_without_policies_all_may_reach_all() -> None:
    found = listed(world_of(PAIR))
    pods = ("shop/web", "shop/db")
    pairs = {pods, pods[::-1], *((name, EVERYWHERE) for name in pods), *((EVERYWHERE, name) for name in pods)}
    assert found == dict.fromkeys(pairs, ALL)


def test_ports_are_ranges_and_who_may_not_connect_is_not_listed() -> None:
    rules = """ingress:
- {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: pg}, {port: 80, endPort: 89}, {port: 90}]}
- {from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.7/32]}}], ports: [{protocol: UDP}]}"""
    found = listed(world_of(PAIR + policy(f"{DB}\n{rules}")))
    assert found["shop/web", "shop/db"] == [{"protocol": "TCP", "ports": [[80, 90], [5432, 5432]]}]
    assert {pair: ports for pair, ports in found.items() if pair[1] == "shop/db"} == {
        ("shop/web", "shop/db"): [{"protocol": "TCP", "ports": [[80, 90], [5432, 5432]]}],
        ("192.0.2.0-192.0.2.6", "shop/db"): [{"protocol": "UDP", "ports": "all"}],
        ("192.0.2.8-192.0.2.255", "shop/db"): [{"protocol": "UDP", "ports": "all"}],
    }


def test_one_address_is_no_range() -> None:
    found = listed(world_of(PAIR + policy(f"{DB}\ningress: [{{from: [{{ipBlock: {{cidr: 192.0.2.7/32}}}}]}}]")))
    assert found["192.0.2.7", "shop/db"] == ALL


def test_ipv6_stands_there_where_something_speaks_of_it() -> None:
    block = policy(f"{DB}\ningress: [{{from: [{{ipBlock: {{cidr: '2001:db8::/32'}}}}]}}]")
    bare = SHOP + pod("shop/db", phase="Pending")
    assert ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "shop/db") not in listed(world_of(bare))
    found = listed(world_of(bare + block))
    assert [pair for pair in found if pair[1] == "shop/db"] == [
        ("2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "shop/db")
    ]
    assert not [pair for pair in listed(world_of(PAIR + block)) if ":" in "".join(pair)], "these pods have IPv4 only"


def test_what_is_not_known_stands_apart() -> None:
    block = policy(f"{DB}\ningress: [{{ports: [{{port: 80}}]}}, {{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}]}}]")
    (item,) = [
        it for it in connectivity(world_of(PAIR + block)) if (it.source, it.destination) == ("shop/web", "shop/db")
    ]
    document = connection_document(item)
    assert document["connections"] == [{"protocol": "TCP", "ports": [[80, 80]]}]
    assert document["unknown"][0] == {"protocol": "TCP", "ports": [[1, 79], [81, 65535]]}
    assert connection_line(item) == "shop/web -> shop/db: TCP 80, TCP 1-79,81-65535 unknown, UDP unknown, SCTP unknown"


def test_a_refused_pod_is_unknown_in_every_pair() -> None:
    bad = "\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: shop, labels: {a: 1}}\n"
    world = reading_of(PAIR + bad).world()
    found = {(item.source, item.destination): item for item in connectivity(world)}
    assert found["shop/bad", "shop/web"].allowed == ()
    assert len(found["shop/web", "shop/bad"].unknown) == 3


def test_finished_pods_are_not_there_and_their_lines_read_easily() -> None:
    world = world_of(PAIR + pod("shop/done", "10.0.0.9", phase="Succeeded"))
    lines = [connection_line(item) for item in connectivity(world)]
    assert not [line for line in lines if "done" in line]
    assert "shop/web -> shop/db: all" in lines
