"""What addresses are to a host, and where its routes lead: the answers behind `fib`, `addrtype` and masquerading."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.routing import Ask, Decision, Hop, Host, Route, Routing
from kubeshield_tui.evidence.netfilter.ruleset import Unsure
from kubeshield_tui.evidence.netfilter.words import address

ADDRESSES = [
    {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
                                   {"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host"}]},
    {"ifname": "eth0", "addr_info": [
        {"family": "inet", "local": "198.51.100.9", "prefixlen": 24, "scope": "global", "secondary": True},
        {"family": "inet", "local": "198.51.100.1", "prefixlen": 24, "scope": "global"},
        {"family": "inet", "local": "203.0.113.1", "prefixlen": 24, "scope": "global"},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        {"family": "inet6", "local": "2001:db8:1::1", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "2001:db8:f::1", "prefixlen": 64, "scope": "global"}]},
    {"ifname": "eth1", "addr_info": []},
    {"ifname": "eth3", "addr_info": [{"family": "inet", "local": "192.0.2.3", "prefixlen": 24, "scope": "global"}]},
]  # fmt: skip
ROUTES = [
    {"dst": "198.51.100.0/24", "dev": "eth0"},
    {"dst": "198.51.100.0/26", "dev": "eth1", "metric": 200},
    {"dst": "198.51.100.0/26", "dev": "eth2", "metric": 100},
    {"dst": "default", "gateway": "198.51.100.254", "dev": "eth0"},
    {"type": "blackhole", "dst": "10.0.0.0/8"},
    {"type": "prohibit", "dst": "2001:db8:bad::/48"},
    {"type": "blackhole", "dst": "2001:db8:dead::/48"},
    {"dst": "2001:db8:1::/64", "dev": "eth0"},
    {"type": "broadcast", "dst": "198.51.100.255", "dev": "eth0", "table": "local"},
    {"type": "local", "dst": "198.51.100.1", "dev": "eth0", "table": "local"},
    {"type": "local", "dst": "198.18.0.0/15", "dev": "lo", "table": "local"},
    {"type": "local", "dst": "2001:db8:1::1", "dev": "eth0", "table": "local"},
]  # fmt: skip


def number(text: str) -> int:
    found = address(text)
    assert found is not None
    return found


def family_of(text: str) -> str:
    return "ip6" if ":" in text else "ip"


@pytest.fixture(scope="module")
def whole() -> Routing:
    return Routing(parse_host(json.dumps({"addr": ADDRESSES, "route": ROUTES})))


@pytest.fixture(scope="module")
def addresses_alone() -> Routing:
    return Routing(parse_host(json.dumps({"addr": ADDRESSES})))


@pytest.mark.parametrize(
    ("text", "own"),
    [("198.51.100.1", True), ("198.51.100.9", True), ("198.18.7.7", True), ("198.20.0.1", False), ("203.0.113.1", True),
     ("203.0.113.2", False), ("198.51.100.255", False), ("2001:db8:1::1", True), ("2001:db8:1::2", False),
     ("::1", True)],
)  # fmt: skip
def test_own_addresses_are_known_by_devices_and_by_the_local_table(whole: Routing, text: str, own: bool) -> None:
    assert whole.is_local(family_of(text), number(text)) is own


def test_without_routes_addresses_tell_and_without_either_nothing_does(addresses_alone: Routing) -> None:
    assert addresses_alone.is_local("ip", number("127.9.9.9")) is True
    assert addresses_alone.is_local("ip", number("198.51.100.2")) is False
    assert addresses_alone.is_local("ip6", number("2001:db8:1::2")) is False
    assert Routing(Host()).is_local("ip", number("198.51.100.1")) is None
    only_routes = Routing(parse_host(json.dumps({"route": ROUTES})))
    assert only_routes.is_local("ip", number("203.0.113.1")) is False
    assert only_routes.is_local("ip", number("198.51.100.1")) is True


@pytest.mark.parametrize(
    ("text", "device", "kind"),
    [
        ("0.1.2.3", "", "broadcast"), ("1.0.0.0", "", "unicast"), ("255.255.255.255", "", "broadcast"),
        ("255.255.255.254", "", "unicast"), ("224.0.0.1", "", "multicast"), ("239.255.255.255", "", "multicast"),
        ("240.0.0.1", "", "unicast"), ("223.255.255.255", "", "unicast"), ("198.51.100.1", "", "local"),
        ("198.51.100.1", "eth0", "local"), ("198.51.100.1", "eth1", "unicast"), ("198.51.100.255", "", "broadcast"),
        ("10.1.1.1", "", "unicast"), ("203.0.113.77", "", "unicast"), ("ff02::1", "", "multicast"),
        ("fe00::1", "", "unreachable"), ("2001:db8:1::1", "", "local"), ("2001:db8:1::1", "eth1", "unicast"),
        ("2001:db8:1::2", "", "unicast"), ("2001:db8:bad::1", "", "prohibit"), ("2001:db8:dead::1", "", "blackhole"),
        ("2001:db9::1", "", "unreachable"),
    ],
)  # fmt: skip
def test_types_of_addresses(whole: Routing, text: str, device: str, kind: str) -> None:
    """IPv4 asks the local table alone, IPv6 all routes."""
    assert whole.address_type(family_of(text), number(text), device) == kind


def test_types_where_routes_are_not_known(addresses_alone: Routing) -> None:
    assert addresses_alone.address_type("ip", number("198.51.100.2")) == "unicast"
    assert addresses_alone.address_type("ip6", number("2001:db8:1::2")) is None
    assert addresses_alone.address_type("ip6", number("2001:db8:1::1")) == "local"
    assert Routing(Host()).address_type("ip", number("198.51.100.2")) is None
    assert Routing(Host()).address_type("ip", number("224.0.0.1")) == "multicast"


def decided(routing: Routing, text: str, **more: Any) -> tuple[str, list[str]]:
    decision = routing.decide(Ask(family=family_of(text), destination=number(text), **more))
    assert isinstance(decision, Decision)
    return decision.kind, [hop.device for hop in decision.hops]


def test_the_longest_prefix_then_the_lowest_metric_then_the_device_that_is_asked_for(whole: Routing) -> None:
    assert decided(whole, "198.51.100.77") == ("unicast", ["eth0"])
    assert decided(whole, "198.51.100.7") == ("unicast", ["eth2"])
    assert decided(whole, "198.51.100.7", oif="eth1") == ("unicast", ["eth1"])
    assert decided(whole, "198.51.100.7", oif="eth0") == ("unicast", ["eth0"])
    assert decided(whole, "198.51.100.7", oif="eth9") == ("none", [])
    assert decided(whole, "100.64.0.1") == ("unicast", ["eth0"])
    assert decided(whole, "10.9.9.9") == ("blackhole", [])
    assert decided(whole, "198.51.100.1") == ("local", ["eth0"])
    assert decided(whole, "2001:db8:ffff::1") == ("none", [])


def test_without_routes_only_what_is_own_has_a_known_way(addresses_alone: Routing) -> None:
    assert decided(addresses_alone, "198.51.100.1") == ("local", ["lo"])
    assert isinstance(addresses_alone.decide(Ask(family="ip", destination=number("198.51.100.2"))), Unsure)


@pytest.mark.parametrize(
    ("device", "toward", "own"),
    [
        ("eth0", "198.51.100.254", "198.51.100.1"),
        ("eth0", "203.0.113.0", "203.0.113.1"),
        ("eth0", "203.0.113.255", "203.0.113.1"),
        ("eth0", "203.0.112.255", "198.51.100.1"),
        ("eth0", "100.64.0.1", "198.51.100.1"),
        ("eth0", None, "198.51.100.1"),
        ("eth1", "100.64.0.1", "198.51.100.1"),
        ("eth3", "100.64.0.1", "192.0.2.3"),
        ("eth3", None, "192.0.2.3"),
        ("eth7", "100.64.0.1", None),
        ("lo", "127.0.0.2", "198.51.100.1"),
        ("eth0", "2001:db8:1::99", "2001:db8:1::1"),
        ("eth0", "2001:db8:e::99", "2001:db8:f::1"),
        ("lo", "2001:db8:1::1", "2001:db8:1::1"),
        ("lo", "2001:db8:1::2", None),
        ("eth1", "2001:db8:1::2", None),
    ],
)
def test_the_address_that_masquerading_takes(whole: Routing, device: str, toward: str | None, own: str | None) -> None:
    family = family_of(toward or "")
    found = whole.own_address(family, device, None if toward is None else number(toward))
    assert found == (None if own is None else number(own))


def test_settings_are_numbers_or_not_known(whole: Routing) -> None:
    routing = Routing(parse_host("a.b = 1\nc.d = -1\ne.f = 1 2\n"))
    assert [routing.setting(name) for name in ("a.b", "c.d", "e.f", "g.h")] == [1, -1, None, None]


def test_a_mark_counts_for_the_way_where_a_rule_asks_for_it() -> None:
    local = {"priority": 0, "src": "all", "table": "local"}
    for rule, reads in (({"fwmark": "0x1"}, True), ({"uid_start": 5}, True), ({}, False)):
        told = {"rule": [local, {"priority": 5, "src": "all", "table": "9", **rule}], "route": ROUTES}
        assert Routing(parse_host(json.dumps(told))).reads_mark is reads


def test_what_has_no_mark_and_what_has_no_metric_count_as_zero() -> None:
    refused = {"priority": 5, "src": "all", "fwmark": "0x1", "action": "prohibit"}
    main = {"priority": 9, "src": "all", "table": "main"}
    assert decided(Routing(parse_host(json.dumps({"rule": [refused, main], "route": ROUTES}))), "100.64.0.1") == (
        "unicast",
        ["eth0"],
    )
    far = Route(family="ip", number=0, length=0, hops=(Hop(device="far"),), metric=1)
    near = Route(family="ip", number=0, length=0, hops=(Hop(device="near"),))
    assert decided(Routing(Host(routes=(far, near))), "100.64.0.1") == ("unicast", ["near"])


def test_a_family_is_known_where_it_has_routes_or_where_there_are_none_at_all() -> None:
    told = Routing(parse_host(json.dumps({"route": [{"dst": "10.0.0.0/8", "dev": "eth0"}]})))
    cases = [(told, (True, False)), (Routing(Host(routes=())), (True, True)), (Routing(Host()), (False, False))]
    for routing, known in cases:
        assert (routing.knows("ip"), routing.knows("ip6")) == known


def test_a_host_may_hold_every_address_for_its_own() -> None:
    """As a transparent proxy does: `ip route add local default dev lo table local`."""
    routing = Routing(parse_host(json.dumps({"route": [{"type": "local", "dst": "default", "dev": "lo",
                                                        "table": "local"}]})))  # fmt: skip
    assert routing.is_local("ip", number("100.64.0.1")) is True
    assert routing.address_type("ip", number("100.64.0.1")) == "local"
    assert decided(routing, "100.64.0.1") == ("local", ["lo"])
