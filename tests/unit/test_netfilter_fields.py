"""What rules find where they look: a value, nothing at all (the packet has no such field), or what can't be known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.ruleset import Doubt
from tests.unit.firewall import DROP, HOST, NOTRACK, OUT, SSH, THROUGH, Rules, dnat, field, match

UDP = SSH.replace("tcp", "udp")
PING = "protocol=icmp,src=192.0.2.1,dst=198.51.100.1,iif=eth0"
SIX = "protocol=tcp,src=2001:db8:1::1,sport=40000,dst=2001:db8:2::2,dport=22,iif=eth0"
PING_SIX = "protocol=icmpv6,src=2001:db8:1::1,dst=2001:db8:2::2,iif=eth0"
YES, NO, OPEN = "drop syn", "accept", "accept | drop syn"


def found(condition: dict[str, Any], packet: str = SSH, hook: str = "input", host: str | None = None) -> str:
    """Whether a condition is met: yes, no, or open."""
    return Rules("inet").base(hook, [condition, DROP]).verdict(packet, host, legs=("syn",))


@pytest.mark.parametrize(
    ("packet", "name", "value", "answer"),
    [
        (SSH, "ip version", 4, YES), (SSH, "ip version", 5, NO), (SIX, "ip6 version", 6, YES),
        (SIX, "ip6 version", 7, NO), (SIX, "ip version", 4, NO), (SSH, "ip6 version", 6, NO),
        (SSH, "ip protocol", "tcp", YES), (SSH, "ip6 nexthdr", "tcp", NO), (SIX, "ip6 nexthdr", "tcp", YES),
        (SIX, "ip protocol", "tcp", NO), (UDP, "meta l4proto", "udp", YES), (UDP, "meta l4proto", "tcp", NO),
        (SSH, "meta nfproto", "ipv4", YES), (SSH, "meta nfproto", "ipv6", NO), (SIX, "meta nfproto", "ipv6", YES),
        (SIX, "meta nfproto", "ipv4", NO), (SSH, "meta nfproto", 3, NO), (SIX, "meta nfproto", 11, NO),
        (SSH, "meta protocol", "ip", YES), (SSH, "meta protocol", "ip6", NO), (SIX, "meta protocol", "ip6", YES),
        (SIX, "meta protocol", "ip", NO), (SSH, "meta protocol", 0x801, NO), (SIX, "meta protocol", 0x86DE, NO),
        (SSH, "ct l3proto", "ipv4", YES), (SSH, "ct l3proto", 3, NO), (SIX, "ct l3proto", "ipv6", YES),
        (SIX, "ct l3proto", 11, NO), (SSH, "ct protocol", "tcp", YES), (SSH, "ct protocol", "udp", NO),
        (SSH, "tcp flags", "syn", YES), (UDP, "tcp flags", "syn", NO), (SSH, "tcp dport", 22, YES),
        (UDP, "udp dport", 22, YES), (UDP, "tcp dport", 22, NO), (SSH, "udp sport", 40000, NO),
        (SSH, "th dport", 22, YES), (UDP, "th sport", 40000, YES), (SSH, "th dport", 23, NO),
        (PING, "th dport", 22, OPEN), (SSH, "ip saddr", "192.0.2.1", YES), (SSH, "ip daddr", "198.51.100.1", YES),
        (SIX, "ip6 saddr", "2001:db8:1::1", YES), (SIX, "ip6 daddr", "2001:db8:2::2", YES),
        (PING, "icmp type", "echo-request", YES), (PING, "icmpv6 type", "echo-request", NO),
        (PING_SIX, "icmpv6 type", "echo-request", YES), (PING_SIX, "icmp type", "echo-request", NO),
        (SIX.replace("tcp", "1"), "icmp type", "echo-request", NO), (SSH, "icmp code", 0, NO),
        (PING.replace("icmp", "58"), "icmpv6 type", "echo-request", NO), (UDP, "icmp type", "echo-request", NO),
    ],
)  # fmt: skip
def test_headers(packet: str, name: str, value: object, answer: str) -> None:
    assert found(match(name, value), packet) == answer


@pytest.mark.parametrize(
    ("packet", "name", "answer"),
    [
        (SSH, "ip ttl", OPEN), (SIX, "ip ttl", NO), (SIX, "ip6 hoplimit", OPEN), (SSH, "ip6 hoplimit", NO),
        (SSH, "tcp window", OPEN), (UDP, "tcp window", NO), (UDP, "udp length", OPEN), (SSH, "udp length", NO),
        (PING, "icmp id", OPEN), (SSH, "icmp id", NO), (PING_SIX, "icmpv6 id", OPEN), (PING_SIX, "icmp id", NO),
        (PING, "icmpv6 id", NO), (SSH, "ether type", OPEN), (SSH, "ct zone", OPEN), (SSH, "meta length", OPEN),
        (SSH.replace("tcp", "sctp"), "sctp vtag", OPEN), (SSH, "sctp vtag", NO), (SSH, "dccp type", NO),
        (SSH.replace("tcp", "33"), "dccp type", OPEN), (SSH.replace("tcp", "136"), "udplite checksum", OPEN),
        (SSH, "udplite checksum", NO),
    ],
)  # fmt: skip
def test_what_is_not_asked_about_is_open_where_the_packet_has_it_and_matches_nothing_where_not(
    packet: str, name: str, answer: str
) -> None:
    assert found(match(name, 5), packet) == answer
    assert found(match(name, 5, "!="), packet) == answer


def test_an_option_of_tcp_is_one_of_tcp_alone() -> None:
    option = {"match": {"op": "==", "left": {"tcp option": {"name": "mss", "field": "size"}}, "right": 1460}}
    assert (found(option), found(option, UDP)) == (OPEN, NO)


@pytest.mark.parametrize("name", ["meta skuid", "meta skgid", "meta cgroup"])
def test_a_socket_is_known_to_nobody_where_packets_pass_through(name: str) -> None:
    assert found(match(name, 0), THROUGH, "forward") == NO
    assert found(match(name, 0), OUT, "output") == OPEN
    assert found(match("meta mark", 0), THROUGH, "forward") == YES


def test_without_a_connection_nothing_of_it_is_there() -> None:
    for name in ("ct zone", "ct mark", "ct direction", "ct status", "ct l3proto", "ct protocol", "ct reply ip saddr"):
        rules = Rules().base("prerouting", [NOTRACK], priority=-300).base("input", [match(name, 77, "!="), DROP])
        assert rules.verdict(SSH, legs=("syn",)) == NO, name
        assert Rules().base("input", [match(name, 77, "!="), DROP]).verdict(SSH, legs=("syn",)) != NO, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [("meta time", Doubt.TIME), ("meta random", Doubt.RANDOM), ("meta skuid", Doubt.LOCAL), ("ct bytes", Doubt.RATE),
     ("ether saddr", Doubt.LINK), ("meta iifgroup", Doubt.LINK), ("meta ibrname", Doubt.LINK),
     ("fib daddr oif", Doubt.ROUTING), ("ip ttl", Doubt.PAYLOAD)],
)  # fmt: skip
def test_why_a_field_is_not_known_is_said(name: str, kind: Doubt) -> None:
    result = Rules("inet").base("output", [match(name, 5), DROP]).judge(OUT, legs=("syn",))
    assert {each.kind for outcome in result.outcomes for each in outcome.assumptions} == {kind}


@pytest.mark.parametrize(
    ("packet", "hook", "kind"),
    [
        (SSH, "input", "host"), (SSH.replace("198.51.100.1", "255.255.255.255"), "input", "broadcast"),
        (SSH.replace("198.51.100.1", "255.255.255.254"), "input", "host"),
        (SSH.replace("198.51.100.1", "224.0.0.1"), "input", "multicast"),
        (SSH.replace("198.51.100.1", "239.255.255.255"), "input", "multicast"),
        (SSH.replace("198.51.100.1", "240.0.0.1"), "input", "host"),
        (SSH.replace("198.51.100.1", "223.255.255.255"), "input", "host"),
        (SIX, "input", "host"), (SIX.replace("2001:db8:2::2", "ff02::1"), "input", "multicast"),
        (SIX.replace("2001:db8:2::2", "ff00::"), "input", "multicast"),
        (SIX.replace("2001:db8:2::2", "feff::1"), "input", "host"),
        (OUT, "output", "host"), (OUT.replace("203.0.113.9", "224.0.0.1"), "output", "host"),
        (OUT.replace("203.0.113.9", "255.255.255.255"), "postrouting", "host"), (THROUGH, "postrouting", "host"),
    ],
)  # fmt: skip
def test_to_whom_a_frame_is_addressed(packet: str, hook: str, kind: str) -> None:
    for other in ("host", "broadcast", "multicast", "other"):
        assert found(match("meta pkttype", other), packet, hook) == (YES if other == kind else NO)


def test_to_whom_it_is_addressed_is_open_where_its_destination_is() -> None:
    rules = Rules().base("prerouting", [{"dnat": {"addr": {"map": {"key": field("tcp dport"), "data": "@gone"}}}}],
                         kind="nat", priority=-100)  # fmt: skip
    rules.base("forward", [match("meta pkttype", "host"), DROP])
    result = rules.judge(THROUGH, legs=("syn",))
    assert any(each.kind is Doubt.LINK for outcome in result.outcomes for each in outcome.assumptions)


SNAT_TO = {"snat": {"addr": "203.0.113.1", "port": 5000}}
MASQUERADE = {"masquerade": None}


def translated(condition: dict[str, Any], leg: str, source: dict[str, Any] | None, *, destination: bool) -> bool:
    """Whether a condition is met behind translation by that packet of a connection through the host."""
    rules = Rules("inet")
    if destination:
        rules.base("prerouting", [dnat("203.0.113.77", 8080, family="ip")], kind="nat", priority=-100)
    if source is not None:
        rules.base("postrouting", [source], kind="nat", priority=100)
    rules.base("postrouting", [condition, DROP], priority=300)
    said = rules.verdict(THROUGH, HOST, legs=("syn", "syn-ack", "ack"))
    return f"drop {leg}" in said.split(" | ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ct original saddr", "192.0.2.1"), ("ct original proto-src", 40000), ("ct original daddr", "203.0.113.9"),
        ("ct original proto-dst", 80), ("ct reply saddr", "203.0.113.77"), ("ct reply proto-src", 8080),
        ("ct reply daddr", "203.0.113.1"), ("ct reply proto-dst", 5000),
    ],
)  # fmt: skip
def test_a_connection_knows_its_ends_before_and_behind_translation(name: str, value: object) -> None:
    _, way, key = name.split()
    for family in [{}, {"family": "ip"}] if key.endswith("addr") else [{}]:
        left = {"ct": {"dir": way, "key": key, **family}}
        ends = ("192.0.2.1", 40000, "203.0.113.9", 80, "203.0.113.77", 8080, "203.0.113.1", 5000)
        for each in ends:
            if isinstance(each, type(value)):
                condition = {"match": {"op": "==", "left": left, "right": each}}
                assert translated(condition, "syn", SNAT_TO, destination=True) == (each == value), each
    other = {"match": {"op": "!=", "left": {"ct": {"dir": way, "family": "ip6", "key": "saddr"}}, "right": "::1"}}
    assert not translated(other, "syn", SNAT_TO, destination=True)


def test_ends_of_a_connection_that_was_not_translated_are_those_of_its_packets() -> None:
    for way, key, value in (("original", "saddr", "192.0.2.1"), ("reply", "saddr", "203.0.113.9"),
                            ("reply", "daddr", "192.0.2.1"), ("reply", "proto-dst", 40000)):  # fmt: skip
        condition = {"match": {"op": "==", "left": {"ct": {"dir": way, "key": key}}, "right": value}}
        assert translated(condition, "syn", None, destination=False)


@pytest.mark.parametrize(
    ("source", "destination", "bits"),
    [(None, False, []), (SNAT_TO, False, ["snat"]), (None, True, ["dnat"]), (SNAT_TO, True, ["snat", "dnat"])],
)
def test_the_status_of_a_connection(source: dict[str, Any] | None, destination: bool, bits: list[str]) -> None:
    later = {"syn": [], "syn-ack": ["confirmed", "seen-reply"], "ack": ["confirmed", "seen-reply", "assured"]}
    for leg, more in later.items():
        for each in ("expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"):
            leg_alone = match("ct direction", "reply" if leg == "syn-ack" else "original")
            seen = {"match": {"op": "in" if each in [*bits, *more] else "!", "left": field("ct status"), "right": each}}
            rules = Rules("inet")
            if destination:
                rules.base("prerouting", [dnat("203.0.113.77", 8080, family="ip")], kind="nat", priority=-100)
            if source is not None:
                rules.base("postrouting", [source], kind="nat", priority=100)
            first = match("ct state", "new" if leg == "syn" else "established", "in")
            rules.base("postrouting", [leg_alone, first, seen, DROP], priority=300)
            assert rules.verdict(THROUGH, HOST) == f"drop {leg}", (leg, each)


def test_whether_a_translation_that_is_not_known_changed_anything_is_open() -> None:
    """All that is known of the status besides stays known."""
    hidden = {"dnat": {"addr": {"map": {"key": field("tcp dport"), "data": "@gone"}}}}
    status = field("ct status")
    for side, kind, statement in (("dnat", "prerouting", hidden), ("snat", "postrouting", MASQUERADE)):
        for each, operator, answer in ((side, "in", OPEN), ("confirmed", "in", NO), ("confirmed", "!", YES),
                                       ("dnat" if side == "snat" else "snat", "in", NO)):  # fmt: skip
            rules = Rules().base(kind, [statement], kind="nat", priority=-100 if side == "dnat" else 100)
            condition = {"match": {"op": operator, "left": status, "right": each}}
            rules.base("postrouting", [condition, DROP], priority=300)
            assert rules.verdict(THROUGH, legs=("syn",)) == answer, (side, each)
    rules = Rules().base("postrouting", [MASQUERADE], kind="nat", priority=100)
    rules.base("forward", [{"match": {"op": "in", "left": status, "right": "seen-reply"}}, DROP])
    assert rules.verdict(THROUGH) == "drop syn-ack"


def fib(flags: list[str], result: str, value: object, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"fib": {"flags": flags, "result": result}}, "right": value}}


def with_routes(*routes: dict[str, Any], **more: Any) -> str:
    told = json.loads(HOST)
    told["route"] += routes
    return json.dumps({**told, **more})


@pytest.mark.parametrize(
    ("packet", "hook", "flags", "kind"),
    [
        (SSH, "input", ["daddr"], "local"), (SSH, "input", ["saddr"], "unicast"),
        (THROUGH, "forward", ["daddr"], "unicast"),
        (OUT, "output", ["saddr"], "local"), (OUT, "output", ["daddr"], "unicast"),
        (SSH, "input", ["daddr", "iif"], "local"),
        (SSH.replace("198.51.100.1", "203.0.113.1"), "input", ["daddr"], "local"),
        (SSH.replace("198.51.100.1", "203.0.113.1"), "input", ["daddr", "iif"], "unicast"),
        (SSH.replace("198.51.100.1", "224.0.0.5"), "prerouting", ["daddr"], "multicast"),
        (SSH.replace("198.51.100.1", "255.255.255.255"), "prerouting", ["daddr"], "broadcast"),
        (OUT.replace("198.51.100.1,s", "203.0.113.1,s"), "output", ["saddr", "oif"], "local"),
        (OUT, "output", ["saddr", "oif"], "unicast"),
    ],
)  # fmt: skip
def test_what_addresses_are_to_the_host(packet: str, hook: str, flags: list[str], kind: str) -> None:
    host = with_routes({"dst": "default", "dev": "eth0"})
    for other in ("local", "unicast", "broadcast", "multicast", "blackhole", "unreachable"):
        assert found(fib(flags, "type", other), packet, hook, host) == (YES if other == kind else NO), other


def test_what_is_asked_about_tells_types_of_addresses_where_none_were_collected() -> None:
    assert found(fib(["daddr"], "type", "local"), SSH) == YES
    assert found(fib(["daddr"], "type", "unicast"), SSH) == NO
    assert found(fib(["daddr"], "type", "unicast"), THROUGH, "forward") == YES
    assert found(fib(["daddr", "iif"], "type", "unicast"), THROUGH, "forward") == YES
    assert found(fib(["saddr"], "type", "unicast"), SSH) == YES
    assert found(fib(["saddr"], "type", "local"), OUT, "output") == YES
    assert found(fib(["daddr", "iif"], "type", "local"), SSH) == OPEN  # it may be one of another device
    assert found(fib(["daddr"], "type", "local"), OUT, "output") == OPEN
    assert found(fib(["daddr", "iif"], "type", "local"), SSH.replace(",iif=eth0", ""), host=HOST) == YES


LOOSE = {"type": "prohibit", "dst": "192.0.2.128/25"}
SPLIT = {"dst": "100.64.0.0/10", "nexthops": [{"dev": "eth0", "gateway": "198.51.100.7"}, {"dev": "eth1"}]}
FAR = SSH.replace("192.0.2.1", "100.64.0.1")


@pytest.mark.parametrize(
    ("packet", "hook", "flags", "device"),
    [
        (SSH, "input", ["saddr"], "eth0"), (SSH, "input", ["saddr", "iif"], "eth0"), (SSH, "input", ["daddr"], ""),
        (THROUGH, "forward", ["daddr"], "eth1"), (THROUGH, "forward", ["daddr", "oif"], "eth1"),
        (THROUGH, "forward", ["saddr", "oif"], ""), (SSH.replace("eth0", "eth1"), "input", ["saddr", "iif"], ""),
        (SSH.replace("192.0.2.1", "10.9.9.9"), "input", ["saddr"], ""),
        (SSH.replace("192.0.2.1", "192.0.2.200"), "input", ["saddr"], ""),
        (FAR, "input", ["saddr", "iif"], "eth0"), (FAR.replace("eth0", "eth1"), "input", ["saddr", "iif"], "eth1"),
        (FAR.replace("eth0", "eth2"), "input", ["saddr", "iif"], ""), (FAR, "input", ["saddr"], None),
        (OUT, "output", ["saddr"], ""), (OUT, "output", ["daddr"], "eth1"), (OUT, "output", ["daddr", "oif"], "eth1"),
        ("protocol=tcp,src=127.0.0.1,sport=4,dst=127.0.0.1,dport=80,oif=lo,hook=output", "input", ["saddr"], "lo"),
        ("protocol=tcp,src=127.0.0.1,sport=4,dst=127.0.0.1,dport=80,oif=lo,hook=output", "prerouting", ["saddr"], "lo"),
        ("protocol=tcp,src=127.0.0.1,sport=4,dst=127.0.0.1,dport=80,oif=lo,hook=output", "output", ["saddr"], ""),
    ],
)  # fmt: skip
def test_which_device_leads_to_an_address(packet: str, hook: str, flags: list[str], device: str | None) -> None:
    host = with_routes(LOOSE, SPLIT)
    for result in ("oif", "oifname"):
        for other in ("eth0", "eth1", "eth2", "lo", ""):
            said = found(fib(flags, result, other), packet, hook, host)
            assert said == (OPEN if device is None else YES if other == device else NO), other


@pytest.mark.parametrize(
    ("right", "operator", "there", "missing"),
    [(False, "==", NO, YES), (True, "!=", NO, YES), ("0", "==", NO, YES), ({"set": ["0", "lo"]}, "==", NO, YES),
     (False, "!=", YES, NO), (True, "==", YES, NO), ("0", "!=", YES, NO), ({"set": ["0", "lo"]}, "!=", YES, NO),
     ("7", "==", NO, NO), ("7", "!=", YES, YES)],
)  # fmt: skip
def test_reverse_path_filtering_in_rules(right: object, operator: str, there: str, missing: str) -> None:
    """`fib saddr . iif oif missing drop`, or `oif 0`: nft lists `missing` as false, an index without a name as text."""
    way_back = fib(["saddr", "iif"], "oif", right, operator)
    assert found(way_back, SSH, "prerouting", HOST) == there
    assert found(way_back, SSH.replace("eth0", "eth1"), "prerouting", HOST) == missing
    assert found(way_back, SSH) == OPEN


def test_a_device_that_is_not_there_has_the_index_that_no_interface_has() -> None:
    for name, hook, packet in (("meta oif", "input", SSH), ("meta iif", "output", OUT)):
        assert found(match(name, "0"), packet, hook) == YES
        assert found(match(name, "0", "!="), packet, hook) == NO
    assert found(match("meta iif", "0"), SSH) == NO
    assert found(match("meta iif", "0", "!="), SSH) == YES
    (outcome,) = Rules().base("input", [match("meta iif", "0"), DROP]).judge(SSH, explain=True, legs=("syn",)).outcomes
    assert [(miss.condition, miss.was) for miss in outcome.misses] == [("meta iif == 0", "eth0")]


def test_where_the_device_is_not_known_the_way_back_tells_it() -> None:
    unknown = SSH.replace(",iif=eth0", "")
    assert found(fib(["saddr", "iif"], "oif", "eth0"), unknown, "input", HOST) == YES
    assert found(fib(["saddr", "iif"], "oif", "eth0")) == OPEN


def test_a_mark_counts_for_the_way_only_where_the_rule_says_so() -> None:
    marked = {"priority": 10, "src": "all", "fwmark": "0x1", "table": "100"}
    rules = [
        {"priority": 0, "src": "all", "table": "local"},
        marked,
        {"priority": 32766, "src": "all", "table": "main"},
    ]
    host = with_routes({"dst": "192.0.2.0/24", "dev": "eth1", "table": "100"}, rule=rules)
    packet = f"{SSH},mark=1"
    assert found(fib(["saddr"], "oifname", "eth0"), packet, host=host) == YES
    assert found(fib(["saddr", "mark"], "oifname", "eth1"), packet, host=host) == YES
    assert found(fib(["saddr", "mark"], "oifname", "eth0"), SSH, host=host) == YES


def test_a_result_of_a_look_up_that_is_not_known_is_open() -> None:
    assert found(fib(["saddr"], "newresult", "eth0"), host=HOST) == OPEN
