"""`ipset save`, set by set: what is a member, what is taken out again, and where more may be in it than was read."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from random import Random

import pytest

from kubeshield_tui.evidence.netfilter import ipset
from kubeshield_tui.evidence.netfilter.elements import Elements, Value
from kubeshield_tui.evidence.netfilter.iptables_matches import SetKey
from kubeshield_tui.evidence.netfilter.ruleset import NamedSet


def number(text: str) -> int:
    return int(ip_address(text))


def named(*lines: str) -> dict[str, NamedSet]:
    return dict(ipset.parse("\n".join(lines)).named)


def elements(*lines: str) -> Elements[object]:
    (only,) = named(*lines).values()
    return only.elements


def holds(held: Elements[object], value: Value) -> bool:
    return held.find(value) is not None


@pytest.mark.parametrize(
    ("text", "is_dump"),
    [
        ("create a hash:ip", True), ("create a hash:ip family inet hashsize 1024", True),
        ("# comment\n\n   \ncreate a hash:ip", True), ("create a", False), ("add a hash:ip", False), ("", False),
        ("create table filter", False), ("# create a hash:ip", False), ("-A INPUT -j DROP\ncreate a hash:ip", False),
    ],
)  # fmt: skip
def test_what_a_dump_of_sets_begins_with(text: str, is_dump: bool) -> None:
    assert ipset.is_dump(text) is is_dump


def test_members_are_those_of_their_own_set() -> None:
    sets = named(
        "create a hash:ip", "create b hash:ip family inet", "add a 192.0.2.1", "# comment", "", "add b 192.0.2.2"
    )
    one, two = (number(f"192.0.2.{last}") for last in (1, 2))
    assert [(holds(each.elements, one), holds(each.elements, two)) for each in sets.values()] == [
        (True, False), (False, True),
    ]  # fmt: skip
    assert all(each.elements.complete and not each.dynamic for each in sets.values())


@pytest.mark.parametrize("line", ["add a", "add gone 192.0.2.2", "flush a 192.0.2.2", "add a host.example", "odd"])
def test_a_line_that_is_not_understood_may_be_a_member(line: str) -> None:
    assert not named(line)
    held = elements("create a hash:ip", "add a 192.0.2.1", line)
    assert not held.complete
    assert holds(held, number("192.0.2.1"))
    assert not holds(held, number("192.0.2.2"))


def test_more_members_than_are_read_leave_a_set_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipset, "MEMBERS", 3)
    lines = ["create a hash:ip", *(f"add a 192.0.2.{last}" for last in range(1, 5))]
    assert elements(*lines[:4]).complete
    held = elements(*lines)
    assert not held.complete
    assert [holds(held, number(f"192.0.2.{last}")) for last in range(1, 5)] == [True, True, True, False]


def test_sets_of_no_known_form_are_left_out() -> None:
    assert named("create a weird family inet", "create b list:set size 8", "create c hash:ip").keys() == {"c"}


@pytest.mark.parametrize(
    ("kind", "key"),
    [("hash:ip", SetKey(("ip",), "ip")), ("hash:net family inet6", SetKey(("net",), "ip6")),
     ("bitmap:port range 0-9", SetKey(("port",), "")), ("hash:ip,port", SetKey(("ip", "protoport"), "ip")),
     ("hash:net,iface", SetKey(("net", "iface"), "ip"))],
)  # fmt: skip
def test_what_of_a_packet_is_looked_up(kind: str, key: SetKey) -> None:
    assert ipset.parse(f"create a {kind}").keys == {"a": key}


@pytest.mark.parametrize("options", ["timeout 60", "family inet timeout 60"])
def test_a_set_whose_members_time_out_is_of_the_moment(options: str) -> None:
    assert named(f"create a hash:ip {options}")["a"].dynamic
    assert named(f"create a hash:ip {options}", "create b list:set size 8", "add b a")["b"].dynamic
    assert named("create a hash:ip", "create b list:set timeout 5", "add b a")["b"].dynamic
    assert not named("create a hash:ip", "create b list:set size 8", "add b a")["b"].dynamic


def test_all_addresses_of_a_family_are_its_own() -> None:
    four = elements("create a hash:net family inet", "add a 0.0.0.0/0")
    assert [holds(four, value) for value in (0, 1, 0xFFFFFFFF, 1 << 32)] == [True, True, True, False]
    six = elements("create a hash:net family inet6", "add a ::/0")
    assert [holds(six, value) for value in (0, 1 << 32, (1 << 128) - 1)] == [True, True, True]


def test_several_dimensions() -> None:
    marks = elements("create a hash:ip,mark", "add a 192.0.2.1,0x10")
    assert holds(marks, (number("192.0.2.1"), 16))
    assert not holds(marks, (number("192.0.2.1"), 17))
    assert not elements("create a hash:ip,port", "add a 192.0.2.1").complete
    assert not elements("create a hash:ip", "add a 192.0.2.1,22").complete
    taken_out = elements("create a hash:net,port", "add a 192.0.2.0/24,22", "add a 192.0.2.1,22 nomatch")
    assert not taken_out.complete
    whole = elements("create a hash:net,port", "add a 192.0.2.0/24,22")
    assert whole.complete
    assert holds(whole, (number("192.0.2.1"), 6, 22))


def test_where_what_is_taken_out_can_not_be_read_nothing_is_sure() -> None:
    lines = ["create a hash:net", "add a 10.0.0.0/8", "add a host.example nomatch", "add a 11.0.0.0/8"]
    held = elements(*lines)
    assert (held.complete, holds(held, number("10.1.1.1")), holds(held, number("11.1.1.1"))) == (False, False, False)
    still = elements(*lines, "add a other.example")
    assert not holds(still, number("10.1.1.1"))
    joined = named(*lines, "create b list:set size 8", "add b a")["b"].elements
    assert (joined.complete, holds(joined, number("10.1.1.1"))) == (False, False)


LISTED = ["create a hash:ip", "add a 192.0.2.1", "create b hash:ip", "add b 192.0.2.2", "create all list:set size 8"]


def test_a_set_of_sets_holds_what_they_hold() -> None:
    sets = named(*LISTED, "add all a", "add all b")
    assert [holds(sets["all"].elements, number(f"192.0.2.{last}")) for last in (1, 2, 3)] == [True, True, False]
    assert sets["all"].elements.complete
    assert not named(*LISTED, "add b host.example", "add all a", "add all b")["all"].elements.complete
    assert not named(*LISTED, "odd", "add all a", "add all b")["all"].elements.complete


@pytest.mark.parametrize(
    "more",
    [["add all gone"], ["create c hash:net family inet6", "add all c"],
     ["create c hash:ip,port", "add all c"], ["create c hash:ip", "add c 192.0.2.9 nomatch", "add all c"]],
)  # fmt: skip
def test_a_set_of_sets_of_several_forms_or_that_are_not_there_is_left_out(more: list[str]) -> None:
    assert "all" not in named(*LISTED, "add all a", *more)


@pytest.mark.parametrize("seed", range(40))
def test_of_nested_networks_the_longest_says_whether_an_address_is_a_member(seed: int) -> None:
    """As hash:net with nomatch has it; two of one length do not meet."""
    random = Random(seed)
    nets = {ip_network((0x0A000000 + random.randrange(32), random.randint(27, 32)), strict=False) for _ in range(6)}
    lines = {net: random.random() < 0.5 for net in nets}
    held = elements("create a hash:net", *(f"add a {net}{'' if keep else ' nomatch'}" for net, keep in lines.items()))
    assert held.complete
    for value in range(0x0A000000 - 2, 0x0A000000 + 34):
        over = [net for net in lines if ip_address(value) in net]
        expected = bool(over) and lines[max(over, key=lambda net: net.prefixlen)]
        assert holds(held, value) is expected, ip_address(value)
