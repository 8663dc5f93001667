"""What rules need and look at: whether the kernel tracks, which changes make a difference, which rules can match."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.flow import End, Flow
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.program import Program
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Ruleset, Unsure
from tests.unit.firewall import (
    ACCEPT,
    DROP,
    HOST,
    LIMIT,
    LOG,
    NOTRACK,
    SSH,
    THROUGH,
    Rules,
    dnat,
    field,
    mark,
    match,
    vmap,
)


def put(name: str, value: Any) -> dict[str, Any]:
    return {"mangle": {"key": field(name), "value": value}}


def mapped(key: Any, data: Any) -> dict[str, Any]:
    return {"map": {"key": key, "data": data}}


def compare(left: Any, right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def added(key: Any) -> dict[str, Any]:
    return {"set": {"op": "add", "elem": key, "set": "@seen"}}


CT_MARK = field("ct mark")
NEEDING = [
    match("ct state", "new"), compare({"&": [CT_MARK, 1]}, 1), vmap("ct mark", (1, ACCEPT)), put("ct mark", 5),
    compare({"concat": [field("meta mark"), CT_MARK]}, {"set": [{"concat": [1, 2]}]}), put("meta mark", CT_MARK),
    put("meta mark", mapped(CT_MARK, {"set": [[1, 2]]})), put("meta mark", {"&": [CT_MARK, 255]}), added(CT_MARK),
    {"ct count": {"val": 5}}, dnat("203.0.113.7"), {"xt": {"type": "match", "name": "state"}}, {"newthing": 5},
    put("meta mark", {"|": [field("tcp dport"), CT_MARK]}), match("ct id", 5),
]  # fmt: skip
PASSING = [
    ACCEPT, NOTRACK, LOG, LIMIT, added(field("ip saddr")), match("fib saddr type", "local"), put("ip saddr", "1.1.1.1"),
    {"reject": None}, put("meta mark", 5), match("meta mark", 5), vmap("tcp dport", (1, ACCEPT)),
    compare({"&": [field("meta mark"), 1]}, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "tracks"), [*((each, True) for each in NEEDING), *((each, False) for each in PASSING)]
)
def test_the_kernel_tracks_and_enters_chains_of_type_nat_only_where_a_rule_needs_it(
    statement: dict[str, Any], tracks: bool
) -> None:
    """Each was loaded beside a chain of type nat that drops, and a packet was sent (Linux 6.18)."""
    rules = Rules().set("seen", "mark", []).base("prerouting", [DROP], kind="nat", priority=-100)
    rules.base("output", [statement])
    assert rules.verdict(SSH, legs=("syn",)) == ("drop syn" if tracks else "accept")


def test_either_of_several_conditions_may_need_tracking() -> None:
    for option, needs in (("-m conntrack --ctstate NEW,DNAT", True), ("-p tcp -m multiport --ports 99", False)):
        text = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n"
        text += f"*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {option} -j ACCEPT\nCOMMIT\n"
        ruleset = merge(None, [iptables.parse(text, "ip")])
        (outcome,) = Firewall(ruleset).judge(parse_packet(SSH), ("syn",)).outcomes
        assert outcome.verdict == ("drop" if needs else "accept")


def test_only_tables_that_see_the_family_make_the_kernel_track_it() -> None:
    rules = Rules().base("prerouting", [DROP], kind="nat", priority=-100)
    assert rules.table("ip6", "six").base("input", [match("ct state", "new")]).verdict(SSH, legs=("syn",)) == "accept"
    assert rules.table("inet", "all").base("input", [match("ct state", "new")]).verdict(SSH, legs=("syn",)) != "accept"


@pytest.mark.parametrize("translates", [False, True])
@pytest.mark.parametrize(("hook", "name", "value"), [("forward", "ip saddr", "203.0.113.1"),
                                                     ("prerouting", "ip daddr", "203.0.113.7")])  # fmt: skip
def test_what_a_rule_rewrites_itself_is_not_translated_back(hook: str, name: str, value: str, translates: bool) -> None:
    """Whether or not a chain of type nat is there, which does not translate this connection (tried on Linux 6.18)."""
    rules = Rules().base(hook, [match("ct direction", "original"), put(name, value)], priority=-150)
    rules.base("prerouting", [ACCEPT])
    if translates:
        rules.base("postrouting", [match("tcp dport", 99), {"masquerade": None}], kind="nat", priority=100)
        rules.base("prerouting", [match("tcp dport", 99), dnat("203.0.113.3")], kind="nat", priority=-100)
    assert "not translated" in rules.judge(THROUGH, HOST).outcomes[0].decider.text


# --- what makes a difference


BOTH = "accept | drop syn"
HIT = [put("ct mark", mapped(field("meta mark"), {"set": [[7, 5]]})), match("ct mark", 5), DROP]


@pytest.mark.parametrize(
    "reading",
    [
        [match("meta mark", 7), DROP],
        [compare({"&": [field("meta mark"), 255]}, 7), DROP],
        [compare({"|": [field("tcp dport"), field("meta mark")]}, 23), DROP],
        [compare({"concat": [field("tcp dport"), field("meta mark")]}, {"set": [{"concat": [22, 7]}]}), DROP],
        [vmap("meta mark", (7, DROP))],
        HIT,
        [put("ct mark", field("meta mark")), match("ct mark", 7), DROP],
        [added(field("meta mark")), match("ct state", "new"), compare(7, "@seen"), DROP],
    ],
)
def test_a_mark_that_is_looked_at_in_any_way_makes_a_difference(reading: list[dict[str, Any]]) -> None:
    rules = Rules().set("seen", "mark", []).base("input", [LIMIT, mark(7)], reading)
    assert rules.verdict(SSH, legs=("syn",)) == BOTH


def test_a_mark_that_a_map_is_filled_with_makes_a_difference() -> None:
    fill = {"map": {"op": "add", "elem": field("ip saddr"), "data": field("meta mark"), "map": "@marks"}}
    found = put("ct mark", mapped(field("ip saddr"), "@marks"))
    rules = Rules().set("marks", "ipv4_addr", [], map="mark")
    rules.base("input", [LIMIT, mark(7)], [fill], [found, match("ct mark", 7), DROP])
    assert rules.verdict(SSH, legs=("syn",)) == BOTH


@pytest.mark.parametrize("place", ["addr", "port"])
def test_a_mark_that_says_where_translation_leads_makes_a_difference(place: str) -> None:
    data = [[7, "203.0.113.7"], [0, "203.0.113.9"]] if place == "addr" else [[7, 8080], [0, 80]]
    told: dict[str, Any] = {"addr": "203.0.113.7", "port": 8080, place: mapped(field("meta mark"), {"set": data})}
    rules = Rules().base("prerouting", [LIMIT, mark(7)], priority=-150)
    rules.base("prerouting", [{"dnat": told}], kind="nat", priority=-100)
    rules.base("forward", [match("ip daddr", "203.0.113.7"), match("tcp dport", 8080), DROP])
    assert rules.verdict(THROUGH, legs=("syn",)) == BOTH


@pytest.mark.parametrize(
    ("kind", "reading"),
    [
        ("set", [match("ip saddr", "@seen"), DROP]),
        ("verdict", [{"vmap": {"key": field("ip saddr"), "data": "@seen"}}]),
        ("mark", [put("ct mark", mapped(field("ip saddr"), "@seen")), match("ct mark", 7), DROP]),
    ],
)
def test_a_set_that_is_looked_into_in_any_way_makes_a_difference(kind: str, reading: list[dict[str, Any]]) -> None:
    element = field("ip saddr")
    fill = {"map": {"op": "add", "elem": element, "data": DROP if kind == "verdict" else 7, "map": "@seen"}}
    more = {} if kind == "set" else {"map": kind}
    rules = Rules().set("seen", "ipv4_addr", [], **more)
    rules.base("input", [LIMIT, added(element) if kind == "set" else fill], reading)
    assert rules.verdict(SSH, legs=("syn",)) == BOTH


def test_a_set_that_nobody_looks_into_makes_none() -> None:
    rules = Rules().set("seen", "ipv4_addr", []).set("other", "ipv4_addr", ["192.0.2.1"])
    rules.base("input", [LIMIT, added(field("ip saddr"))], [match("ip saddr", "@other"), DROP])
    assert rules.verdict(SSH, legs=("syn",)) == "drop syn"


def test_one_of_several_conditions_that_looks_at_something_is_enough() -> None:
    sets = ipset.parse("create ports bitmap:port range 0-65535\nadd ports 23\n")
    head = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m limit --limit 1/sec -j SET --add-set ports dst\n"
    for lines, said in ((["-A INPUT -m set ! --match-set ports dst -j DROP"], {"accept", "drop"}), ([], {"accept"})):
        dump = iptables.parse("\n".join([head.rstrip(), *lines, "COMMIT", ""]), "ip", sets)
        outcomes = Firewall(merge(None, [dump], sets)).judge(parse_packet(SSH), ("syn",)).outcomes
        assert {outcome.verdict for outcome in outcomes} == said


@pytest.mark.parametrize(
    ("packet", "name", "value", "read"),
    [(SSH, "tcp dport", 8080, "th dport"), (SSH, "tcp sport", 8080, "th sport"),
     (SSH.replace("tcp", "udp"), "udp dport", 8080, "th dport"), (SSH, "ip saddr", "192.0.2.9", "ip saddr")],
)  # fmt: skip
def test_a_port_that_is_rewritten_makes_a_difference_by_whatever_name_it_is_looked_at(
    packet: str, name: str, value: object, read: str
) -> None:
    rules = Rules().base("input", [LIMIT, put(name, value)], [match(read, value), DROP])
    assert rules.verdict(packet, legs=("syn",)) == BOTH


def test_a_port_that_is_rewritten_makes_a_difference_though_no_rule_looks_at_it() -> None:
    """The answer comes from another port than the one that was asked, and nobody waits for it."""
    assert "drop syn-ack" in Rules().base("input", [LIMIT, put("tcp dport", 8080)]).verdict(SSH)


# --- which rules of a long chain can match


def candidates(*rules: list[dict[str, Any]], start: int = 0, **changes: Any) -> list[int]:
    """Places of the rules that can match `SSH` as it arrives, in a chain that others make a long one."""
    others = [[match("ip daddr", f"192.0.2.{number}"), DROP] for number in range(1, 31)]
    program = Program(_ruleset(*rules, *others))
    flow = Flow("syn", "ip", 6, End(0xC0000201, 40000), End(0xC6336401, 22))
    flow.iif = "eth0"
    for name, value in changes.items():
        setattr(flow, name, value)
    chain = program.ruleset.tables[0].chains["long"]
    found = list(program.rules(chain, start, flow))
    assert all(chain.rules[at] is rule for at, rule in found)
    return [at for at, _ in found]


def _ruleset(*rules: list[dict[str, Any]]) -> Ruleset:
    return parse_nft(Rules("inet").base("input", *rules, name="long").text)


OWN, OTHER = match("ip daddr", "198.51.100.1"), match("ip daddr", "203.0.113.5")
PORTS = {"set": [22, 23]}


@pytest.mark.parametrize(
    ("rule", "is_looked_at"),
    [
        ([OWN, DROP], True), ([OTHER, DROP], False), ([match("ip daddr", "203.0.113.5", "!="), DROP], True),
        ([compare({"&": [field("ip daddr"), 255]}, 1), DROP], True), ([match("meta l4proto", "udp"), DROP], True),
        ([match("tcp dport", PORTS), DROP], True), ([match("tcp dport", {"set": [80, 81]}), DROP], False),
        ([match("tcp dport", {"range": [80, 90]}), DROP], True), ([match("tcp dport", "@gone"), DROP], True),
        ([match("tcp dport", {"set": [80, {"range": [90, 99]}]}), DROP], True),
        ([match("tcp dport", {"set": [80, {"odd": 1}]}), DROP], True),
        ([match("tcp dport", {"set": [80, "*"]}), DROP], True), ([DROP], True), ([LIMIT, OTHER, DROP], True),
        ([mark(5), OTHER, DROP], True), ([match("meta l4proto", "tcp"), OTHER, DROP], False),
        ([match("ip daddr", "203.0.113.5", "!="), match("tcp dport", 80), DROP], False),
        ([match("udp dport", 22), DROP], False), ([match("th dport", 22), DROP], True),
        ([match("th dport", 23), DROP], False), ([match("meta iifname", "eth0"), DROP], True),
        ([match("meta iifname", "eth1"), DROP], False), ([match("meta iifname", "eth*"), DROP], True),
        ([match("meta oifname", "eth1"), DROP], False), ([match("ip6 daddr", "2001:db8::1"), DROP], False),
        ([match("ip saddr", "192.0.2.1"), OTHER, DROP], False), ([OTHER, match("ip saddr", "192.0.2.1"), DROP], False),
        ([match("tcp dport", 22), match("ip saddr", "192.0.2.1"), OWN, DROP], True),
        ([match("tcp dport", {"set": [*range(100, 164)]}), DROP], False),
    ],
)  # fmt: skip
def test_a_rule_of_a_long_chain_is_passed_over_only_where_it_surely_does_not_match(
    rule: list[dict[str, Any]], is_looked_at: bool
) -> None:
    assert candidates(rule) == ([0] if is_looked_at else [])


def test_candidates_come_in_the_order_of_the_chain_from_where_it_goes_on() -> None:
    rules = [
        [match("tcp dport", PORTS), DROP],
        [OTHER, DROP],
        [OWN, DROP],
        [LOG],
        [match("meta iifname", "eth0"), DROP],
    ]
    assert candidates(*rules) == [0, 2, 3, 4]
    assert candidates(*rules, start=2) == [2, 3, 4]
    assert candidates(*rules, start=3) == [3, 4]


def test_what_is_not_known_or_was_rewritten_can_be_met_by_all() -> None:
    rules = [[match("tcp dport", 22), DROP], [match("tcp dport", 80), DROP], [OTHER, DROP]]
    assert candidates(*rules, dport=Unsure(kind=Doubt.FIELD, text="dport")) == [0, 1]
    assert candidates(*rules, assigned={"ip dscp": 5}) == list(range(33))
