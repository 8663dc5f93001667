"""How nft's JSON is read: values of every form, statements with their options, and what is left unknown."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.ruleset import Doubt
from tests.unit.firewall import (
    ACCEPT,
    DROP,
    LIMIT,
    NOTRACK,
    PROHIBITED,
    RESET,
    SSH,
    THROUGH,
    Rules,
    field,
    mark,
    match,
)

SIX = "protocol=tcp,src=2001:db8:1::1,sport=40000,dst=2001:db8:2::2,dport=22,iif=eth0"
YES, NO, OPEN = "drop syn", "accept", "accept | drop syn"


def said(*rule: dict[str, Any], packet: str = SSH, table: str = "inet") -> str:
    return Rules(table).base("input", [*rule, DROP]).verdict(packet, legs=("syn",))


def assumed(*rule: dict[str, Any]) -> list[str]:
    (first, *_) = Rules("inet").base("input", [*rule, DROP]).judge(SSH, legs=("syn",)).outcomes
    return [each.text for each in first.assumptions]


def compare(left: Any, right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def raw(base: str, offset: int, length: int) -> dict[str, Any]:
    return {"payload": {"base": base, "offset": offset, "len": length}}


@pytest.mark.parametrize(
    ("place", "value", "answer"),
    [
        (("th", 0, 16), 40000, YES), (("th", 0, 16), 40001, NO), (("th", 16, 16), 22, YES), (("th", 16, 16), 23, NO),
        (("th", 1, 16), 22, OPEN), (("th", 0, 17), 22, OPEN), (("th", 17, 16), 22, OPEN), (("th", 16, 17), 22, OPEN),
        (("ih", 0, 16), 22, OPEN), (("ll", 0, 16), 22, OPEN),
    ],
)  # fmt: skip
def test_ports_may_be_read_by_their_place(place: tuple[str, int, int], value: int, answer: str) -> None:
    assert said(compare(raw(*place), value)) == answer


def test_what_is_read_by_a_place_without_a_name_is_named_by_it() -> None:
    assert assumed(compare(raw("th", 32, 16), 5)) == ["@th,32,16 == 5: yes"]
    option = {"tcp option": {"name": "mss", "field": "size"}}
    assert assumed(compare(option, 1460)) == ["tcp option mss size == 1460: yes"]
    assert assumed(compare({"rt": {"key": "classid"}}, 5)) == ["rt classid == 5: yes"]


def prefix(address: str, length: int) -> dict[str, Any]:
    return {"prefix": {"addr": address, "len": length}}


@pytest.mark.parametrize(
    ("packet", "name", "right", "answer"),
    [
        (SIX, "ip6 daddr", prefix("2001:db8:2::", 48), YES), (SIX, "ip6 daddr", prefix("2001:db8:3::", 48), NO),
        (SIX.replace(":2::2", ":3::2"), "ip6 daddr", prefix("2001:db8:2::", 48), NO),
        (SSH, "ip daddr", prefix("198.51.100.0", 31), YES), (SSH, "ip daddr", prefix("198.51.100.2", 31), NO),
        (SSH, "ip daddr", prefix("host.example", 24), OPEN), (SSH, "tcp dport", {"range": [20, 22]}, YES),
        (SSH, "tcp dport", {"range": [20, "odd"]}, OPEN), (SSH, "tcp dport", {"range": ["odd", 30]}, OPEN),
        (SSH, "tcp dport", {"set": [{"range": [20, "odd"]}]}, OPEN), (SSH, "tcp dport", "0x16", YES),
        (SSH, "tcp dport", "0x17", NO), (SSH.replace("=22", "=17"), "tcp dport", "udp", OPEN),
        (SSH, "meta l4proto", "TCP", YES), (SSH, "meta l4proto", "UDP", NO), (SSH, "meta l4proto", "odd", OPEN),
        (SSH.replace("eth0", "etx0"), "meta iifname", "eth*", NO), (SSH, "meta iifname", "eth*", YES),
        (SSH.replace("eth0", "et*"), "meta iifname", "et\\*", YES), (SSH, "meta iifname", "eth\\*", NO),
        (SSH, "ct state", ["new", "established"], YES), (SSH, "ct state", ["new", {"odd": 1}], OPEN),
        (SSH, "tcp dport", {"set": ["*"]}, YES),
        (SSH, "tcp dport", {"set": []}, NO), (SSH, "tcp dport", {"set": [{"elem": {"val": 22}}]}, YES),
        (SSH, "tcp dport", {"elem": {"val": {"range": [22, 23]}}}, YES), (SSH, "tcp dport", None, OPEN),
    ],
)  # fmt: skip
def test_values(packet: str, name: str, right: Any, answer: str) -> None:
    operator = "in" if name == "ct state" and isinstance(right, list) else "=="
    assert said(match(name, right, operator), packet=packet) == answer


def test_of_a_concatenation_of_which_a_part_is_not_printed_nothing_is_guessed() -> None:
    both = {"concat": [field("ip saddr"), field("tcp dport")]}
    for element, answer in ((["192.0.2.1", 22], YES), (["192.0.2.1", 23], NO), (["192.0.2.1"], OPEN),
                            (["192.0.2.1", 22, 5], OPEN), (["host.example", 22], OPEN)):  # fmt: skip
        assert said(compare(both, {"set": [{"concat": element}]})) == answer


def put(name: str, value: Any) -> dict[str, Any]:
    return {"mangle": {"key": field(name), "value": value}}


def test_a_map_with_an_element_that_can_not_be_read_may_hold_anything_else() -> None:
    for key, answer in ((22, YES), (23, OPEN)):
        pairs = [[key, 5], [{"odd": 1}, 5]]
        value: dict[str, Any] = {"map": {"key": field("tcp dport"), "data": {"set": pairs}}}
        assert said(put("meta mark", value), match("meta mark", 5)) == answer
        rules = Rules().set("marks", "inet_service", pairs, map="mark")
        value = {"map": {"key": field("tcp dport"), "data": "@marks"}}
        rules.base("input", [put("meta mark", value), match("meta mark", 5), DROP])
        assert rules.verdict(SSH, legs=("syn",)) == answer


@pytest.mark.parametrize(
    ("data", "answer"),
    [("203.0.113.7", YES), ("203.0.113.8", NO), (prefix("203.0.113.0", 24), OPEN),
     ({"range": ["203.0.113.5", "203.0.113.9"]}, OPEN), ("host.example", OPEN)],
)  # fmt: skip
def test_a_map_that_leads_to_addresses(data: Any, answer: str) -> None:
    target = {"map": {"key": field("tcp dport"), "data": {"set": [[80, data]]}}}
    rules = Rules().base("prerouting", [{"dnat": {"addr": target}}], kind="nat", priority=-100)
    rules.base("forward", [match("ip daddr", "203.0.113.7"), DROP])
    assert rules.verdict(THROUGH, legs=("syn",)) == answer


def test_a_map_from_a_port_to_a_prefix_keeps_the_bits_behind_it() -> None:
    target = {"map": {"key": field("tcp dport"), "data": {"set": [[80, prefix("10.9.8.0", 24)]]}}}
    translation = {"dnat": {"addr": target, "flags": "netmap"}}
    rules = Rules().base("prerouting", [translation], kind="nat", priority=-100)
    assert rules.base("forward", [match("ip daddr", "10.9.8.9"), DROP]).verdict(THROUGH, legs=("syn",)) == YES


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [({"queue": None}, OPEN), ({"return": None}, NO), ({"newverdict": None}, f"{OPEN} | reject syn"), (DROP, YES)],
)
def test_verdicts_of_a_map(verdict: dict[str, Any], answer: str) -> None:
    by_port = {"vmap": {"key": field("tcp dport"), "data": {"set": [[22, verdict]]}}}
    assert Rules().base("input", [by_port]).verdict(SSH, legs=("syn",)) == answer


# --- statements


NOT_40000, NOT_1 = match("tcp sport", 40000, "!="), match("tcp sport", 1, "!=")
NOT_22, NOT_23 = match("tcp dport", 22, "!="), match("tcp dport", 23, "!=")


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ([NOT_40000, NOT_23], OPEN), ([NOT_1, NOT_22], OPEN), ([NOT_1, NOT_23], YES), ([NOT_40000, NOT_22], NO),
        ([match("meta iifname", "eth0"), NOT_40000, NOT_23], OPEN),
        ([NOT_40000, match("meta iifname", "eth0"), NOT_23], NO), ([NOT_23, NOT_40000], NO), ([NOT_22], NO),
        ([NOT_40000, match("tcp dport", {"set": [23]}, "!=")], NO), ([NOT_1, match("tcp dport", 22)], YES),
        ([match("tcp sport", 40000), NOT_23], YES), ([match("tcp sport", 40000), NOT_22], NO),
        ([match("ip saddr", "192.0.2.1", "!="), NOT_23], NO), ([mark(5), NOT_22], NO), ([NOT_1, mark(5), NOT_22], NO),
        ([match("tcp sport", {"range": [39999, 40001]}, "!="), NOT_23], NO),
        ([match("ip saddr", "192.0.2.1", "!="), match("ip daddr", "1.1.1.1", "!=")], OPEN),
    ],
)  # fmt: skip
def test_which_unequals_nft_may_have_loaded_as_one(rule: list[dict[str, Any]], answer: str) -> None:
    """nft 1.0.6 loads `sport != a dport != b` as one comparison, and lists the two side by side wherever they stood."""
    assert said(*rule) == answer


@pytest.mark.parametrize(
    ("kind", "code", "packet", "answer"),
    [("icmp", 13, SSH, "icmp-admin-prohibited"), ("icmp", "host-unreachable", SSH, "icmp-host-unreachable"),
     ("icmpv6", 1, SIX, "icmpv6-admin-prohibited"), ("icmpv6", 4, SIX, "icmpv6-port-unreachable"),
     ("icmp", 99, SSH, ""), ("icmpx", "no-route", SIX, "icmpv6-no-route")],
)  # fmt: skip
def test_how_a_rule_refuses(kind: str, code: object, packet: str, answer: str) -> None:
    rules = Rules("inet").base("input", [{"reject": {"type": kind, "expr": code}}])
    assert rules.verdict(packet) == " ".join(filter(None, ("reject", answer, "syn")))


@pytest.mark.parametrize(
    ("condition", "is_hidden"),
    [(match("ip saddr", "192.0.2.1"), False), (match("ip saddr", "192.0.2.9", "!="), False),
     (match("tcp dport", 22), True), (match("meta nfproto", "ipv4"), False), (LIMIT, True),
     (compare({"&": [field("ip saddr"), 1]}, 1), True)],
)  # fmt: skip
def test_which_conditions_name_the_family_of_a_reset(condition: dict[str, Any], is_hidden: bool) -> None:
    outcomes = Rules("inet").base("input", [condition, RESET]).judge(SSH, legs=("syn",)).outcomes
    reset = next(outcome for outcome in outcomes if outcome.verdict == "reject")
    assert any("nfproto" in each.text for each in reset.assumptions) is is_hidden


def test_setting_what_decides_nothing_is_passed_over_and_what_is_not_known_is_not() -> None:
    assert said(put("meta priority", 5)) == YES
    assert "accept" in said({"mangle": {"key": {"newkey": 1}, "value": 5}})


@pytest.mark.parametrize(
    ("statement", "likely"),
    [({"limit": {"rate": 3, "per": "minute"}}, "drop"), ({"ct count": {"val": 5}}, "drop"),
     ({"limit": {"rate": 3, "per": "minute", "inv": True}}, "accept"),
     ({"ct count": {"val": 5, "inv": True}}, "accept"), ({"quota": {"val": 5}}, "drop"), ({"counter": None}, None)],
)  # fmt: skip
def test_a_set_that_counts_per_element_is_likely_below_its_limit(statement: dict[str, Any], likely: str | None) -> None:
    add = {"set": {"op": "add", "elem": field("ip saddr"), "set": "@seen", "stmt": [statement]}}
    rules = Rules().set("seen", "ipv4_addr", []).base("input", [add, DROP])
    outcomes = rules.judge(SSH, legs=("syn",)).outcomes
    if likely is None:
        assert [(outcome.verdict, outcome.assumptions) for outcome in outcomes] == [("drop", ())]
    else:
        assert outcomes[0].verdict == likely
        assert {outcome.verdict for outcome in outcomes} == {"drop", "accept"}
        assert outcomes[0].assumptions[0].kind is Doubt.RATE


@pytest.mark.parametrize("name", ["DNAT", "REDIRECT"])
def test_where_translation_by_iptables_leads_is_not_in_nfts_listing(name: str) -> None:
    rules = Rules().base("prerouting", [{"xt": {"type": "target", "name": name}}], kind="nat", priority=-100)
    for hook in ("forward", "input"):
        rules.base(hook, [match("tcp dport", 80), DROP])
    assert rules.verdict(THROUGH, legs=("syn",)) == OPEN


@pytest.mark.parametrize("name", ["SNAT", "MASQUERADE"])
def test_the_source_port_that_iptables_takes_is_not_in_nfts_listing(name: str) -> None:
    """kube-proxy masquerades with `--random-fully`."""
    rules = Rules().base("postrouting", [{"xt": {"type": "target", "name": name}}], kind="nat", priority=100)
    rules.base("postrouting", [match("tcp sport", 40000), DROP], priority=300)
    assert rules.verdict(THROUGH, legs=("syn",)) == OPEN


def test_a_mark_from_a_connection_that_is_not_there_ends_the_rule() -> None:
    rules = (
        Rules().base("prerouting", [NOTRACK], priority=-300).base("input", [put("meta mark", field("ct mark")), DROP])
    )
    assert (
        rules.base("input", [PROHIBITED], priority=5).verdict(SSH, legs=("syn",)) == "reject icmp-admin-prohibited syn"
    )
    tracked = Rules().base("input", [put("meta mark", field("ct mark")), match("meta mark", 0), DROP], [ACCEPT])
    assert tracked.verdict(SSH, legs=("syn",)) == YES
