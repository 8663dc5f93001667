"""Conditions in three values: what is known of a value that is not known whole, and what never holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.elements import Elements
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Field, Joined, Match
from tests.unit.firewall import ACCEPT, DROP, OUT, PROHIBITED, SSH, THROUGH, Rules, field, mark, match

NO_SPORT = SSH.replace(",sport=40000", "")
NO_DPORT = SSH.replace(",dport=22", "")
PORTS = ipset.parse("create ports bitmap:port range 0-65535\nadd ports 22\n")
GONE = {"map": {"key": field("tcp dport"), "data": "@gone"}}


def compare(left: Any, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def said(*rule: dict[str, Any], packet: str = SSH) -> str:
    return Rules("inet").base("input", [*rule, DROP]).verdict(packet, legs=("syn",))


@pytest.mark.parametrize("operator", ["&", "|", "^", "<<", ">>"])
def test_bits_of_a_field_that_is_not_there_match_nothing(operator: str) -> None:
    for pair in ([field("udp dport"), 1], [1, field("udp dport")]):
        assert said(mark({operator: pair})) == "accept"
        assert said(compare({operator: pair}, 0, "!=")) == "accept"
    assert said(compare(field("tcp dport"), field("udp dport"), "!=")) == "accept"


@pytest.mark.parametrize(
    ("operator", "number"), [("&", 0x12 & 22), ("|", 0x12 | 22), ("^", 0x12 ^ 22), ("<<", 0x12 << 22), (">>", 0)]
)
def test_bits_are_reckoned(operator: str, number: int) -> None:
    assert said(mark(0x12), compare({operator: [field("meta mark"), field("tcp dport")]}, number)) == "drop syn"
    assert said(mark(0x12), compare({operator: [field("meta mark"), field("tcp dport")]}, number + 1)) == "accept"


def test_bits_of_what_is_not_known_are_not_known() -> None:
    for pair in ([GONE, 3], [3, GONE]):
        assert said(mark({"|": pair}), match("meta mark", 7)) == "accept | drop syn"
        rules = Rules().base("input", [mark({"|": pair}), match("meta mark", 7), DROP])
        assert rules.judge(SSH, legs=("syn",)).outcomes[0].assumptions[0].kind is Doubt.SET
    assert said(compare({"&": [field("meta iifname"), 1]}, 1)) == "accept | drop syn"


def test_of_bits_that_are_not_all_known_those_that_are_count() -> None:
    """Whether an unknown masquerade changed the source is open; the rest of the status is not."""
    for mask, packet_said in ((["snat", "seen-reply"], "accept | drop ack"), (["dnat", "seen-reply"], "drop ack")):
        rules = Rules().base("postrouting", [{"masquerade": None}], kind="nat", priority=100)
        whole = compare({"&": [field("ct status"), {"|": mask}]}, {"|": mask})
        some = compare({"&": [field("ct status"), {"|": mask}]}, "seen-reply")
        rules.base("output", [whole if mask[0] == "snat" else some, DROP])
        assert rules.verdict(OUT) == packet_said
    rules = Rules().base("postrouting", [{"masquerade": None}], kind="nat", priority=100)
    rules.base("output", [compare({"|": [field("ct status"), 1]}, 31), DROP])
    assert rules.verdict(OUT) == "accept | drop ack"


def test_what_is_known_of_a_concatenation_is_used_wherever_it_stands() -> None:
    parts = [field("tcp sport"), field("ip saddr"), field("tcp dport")]
    for address, verdict in (("192.0.2.9", "accept"), ("192.0.2.1", "accept | drop syn")):
        element = {"set": [{"concat": [5, address, 22]}]}
        assert said(compare({"concat": parts}, element), packet=NO_SPORT) == verdict
        assert said(compare({"concat": parts}, element)) == "accept"
    assert (
        said(compare({"concat": [field("udp sport"), field("ip saddr")]}, {"set": [{"concat": [5, "192.0.2.1"]}]}))
        == "accept"
    )


def test_a_value_that_a_map_holds_is_compared() -> None:
    held = {"map": {"key": field("tcp dport"), "data": {"set": [[22, 5], [23, 6]]}}}
    assert said(mark(held), match("meta mark", 5)) == "drop syn"
    assert said(mark(held), match("meta mark", 6)) == "accept"
    rules = Rules().base("input", [mark(held), PROHIBITED], [ACCEPT])
    assert rules.verdict(SSH.replace("dport=22", "dport=80"), legs=("syn",)) == "accept"
    assert said(mark(GONE), match("meta mark", 5)) == "accept | drop syn"


def test_a_concatenation_within_another_keeps_its_place() -> None:
    inner = Joined(parts=(Field(name="tcp sport"), Field(name="ip saddr")))
    condition = Match(
        left=Joined(parts=(inner, Field(name="tcp dport"))),
        operator="==",
        right=Elements([((40000, 0xC0000201, 22), True)]),
    )
    ruleset = parse_nft(Rules().base("input", [DROP], name="only").text)
    rule = ruleset.tables[0].chains["only"].rules[0]
    rules = (replace(rule, statements=(condition, *rule.statements)),)
    chain = replace(ruleset.tables[0].chains["only"], rules=rules)
    firewall = Firewall(replace(ruleset, tables=(replace(ruleset.tables[0], chains={"only": chain}),)))

    def verdicts(packet: str) -> set[str]:
        return {outcome.verdict for outcome in firewall.judge(parse_packet(packet), ("syn",)).outcomes}

    assert verdicts(SSH) == {"drop"}
    assert verdicts(NO_SPORT) == {"accept", "drop"}
    assert verdicts(NO_SPORT.replace("192.0.2.1", "192.0.2.2")) == {"accept"}


def test_a_draw_of_two_is_both() -> None:
    drawn = {"numgen": {"mode": "random", "mod": 2, "offset": 5}}
    pairs = {"set": [[5, {"drop": None}], [6, {"accept": None}], [7, {"goto": {"target": "refuse"}}]]}
    rules = Rules().base("input", [{"vmap": {"key": drawn, "data": pairs}}]).chain("refuse", [PROHIBITED])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn"


def test_what_packets_put_into_a_map_counts_where_a_key_is_not_known() -> None:
    """The key that is put in, or the key that is looked up, may be any."""
    put = {"mangle": {"key": field("meta mark"), "value": {"map": {"key": field("tcp sport"), "data": "@marks"}}}}
    for key, packet in (("tcp sport", NO_SPORT), ("ip dscp", SSH), ("tcp dport", NO_SPORT)):
        add = {"map": {"op": "add", "elem": field(key), "data": 5, "map": "@marks"}}
        rules = Rules().set("marks", "inet_service", [[7, 7]], map="mark")
        rules.base("input", [add], [put, match("meta mark", 5), DROP])
        assert rules.verdict(packet, legs=("syn",)) == "accept | drop syn", key
    untouched = Rules().set("marks", "inet_service", [[7, 7]], map="mark")
    assert untouched.base("input", [put, match("meta mark", 5), DROP]).verdict(SSH, legs=("syn",)) == "accept"


def test_a_set_that_another_set_s_change_does_not_touch_stays_known() -> None:
    add = {"set": {"op": "add", "elem": field("ip dscp"), "set": "@other"}}
    rules = Rules().set("other", "dscp", []).set("own", "inet_service", [22]).set("none", "inet_service", [])
    rules.base("input", [add], [match("tcp sport", "@none"), PROHIBITED], [match("tcp dport", "@own"), DROP])
    assert rules.verdict(NO_SPORT, legs=("syn",)) == "drop syn"


@pytest.mark.parametrize("operator", ["<", ">", "<=", ">=", "in", "!"])
def test_what_is_no_number_is_neither_less_nor_more(operator: str) -> None:
    assert said(compare(field("meta iifname"), 5, operator)) == "accept"
    assert said(compare(5, field("meta iifname"), operator)) == "accept"


def test_a_key_that_is_not_known_may_be_one_that_a_packet_put_in_and_may_be_none() -> None:
    add = {"set": {"op": "add", "elem": field("tcp dport"), "set": "@seen"}}
    rules = Rules().set("seen", "inet_service", []).base("input", [add], [match("tcp sport", "@seen"), DROP])
    assert rules.verdict(NO_SPORT, legs=("syn",)) == "accept | drop syn"
    by_port = {"vmap": {"key": field("tcp sport"), "data": {"set": [[5, {"drop": None}]]}}}
    assert Rules().base("input", [by_port]).verdict(NO_SPORT, legs=("syn",)) == "accept | drop syn"


def odd(*pairs: Any) -> list[Any]:
    """Elements of which one can't be read."""
    return [*pairs, [{"odd": 1}, {"accept": None}]]


def by_port(key: Any, *pairs: Any) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": list(pairs)}}}


REFUSE = {"goto": {"target": "refuse"}}
REFUSED = "reject icmp-admin-prohibited syn"


def decided(statement: dict[str, Any], packet: str = NO_SPORT, **sets: list[Any]) -> str:
    rules = Rules()
    for name, elements in sets.items():
        rules.set(name, "inet_service", elements, map="verdict")
    return rules.base("input", [statement]).chain("refuse", [PROHIBITED]).verdict(packet, legs=("syn",))


def test_what_a_map_that_could_not_be_read_whole_does_hold_is_known() -> None:
    held = {"vmap": {"key": field("tcp dport"), "data": "@ports"}}
    assert decided(held, ports=odd([22, DROP])) == "drop syn"
    assert decided(held, ports=odd([23, DROP])) == "accept | drop syn | reject syn"
    assert decided(by_port(field("tcp dport"), *odd([22, DROP]))) == "drop syn"


def test_all_that_a_key_that_is_not_known_may_meet_and_the_rest() -> None:
    sport = field("tcp sport")
    assert decided(by_port(sport, [5, DROP], [6, DROP])) == "accept | drop syn"
    assert decided(by_port(sport, [5, DROP], ["*", REFUSE])) == f"drop syn | {REFUSED}"
    assert decided({"vmap": {"key": sport, "data": "@none"}}, none=[]) == "accept"
    result = Rules().base("input", [by_port(sport, [5, DROP])]).judge(NO_SPORT, legs=("syn",))
    assert {outcome.verdict: outcome.assumptions[0].text for outcome in result.outcomes} == {
        "drop": "sport: drop", "accept": "sport: nothing of the map",
    }  # fmt: skip


def test_a_draw_whose_numbers_all_lead_to_one_verdict_is_no_question() -> None:
    drawn = {"numgen": {"mode": "random", "mod": 2, "offset": 0}}
    result = Rules().base("input", [by_port(drawn, [0, DROP], [1, DROP])]).judge(SSH, legs=("syn",))
    assert [(outcome.verdict, outcome.assumptions) for outcome in result.outcomes] == [("drop", ())]
    drawn["numgen"] = {"mode": "inc", "mod": 1, "offset": 5}
    assert said(mark(drawn), match("meta mark", 5)) == "drop syn"
    assert decided(by_port({"numgen": {"mode": "random", "mod": 0, "offset": 0}}, [0, DROP])) == "drop syn"


@pytest.mark.parametrize(("count", "said"), [(4096, f"drop syn | {REFUSED}"), (4097, f"accept | drop syn | {REFUSED}")])
def test_numbers_of_a_draw_are_looked_up_one_by_one_up_to_a_limit(count: int, said: str) -> None:
    drawn = {"numgen": {"mode": "random", "mod": count, "offset": 0}}
    pairs = [[{"range": [0, 2000]}, DROP], [{"range": [2001, 4096]}, REFUSE], [{"range": [5000, 5001]}, ACCEPT]]
    assert decided(by_port(drawn, *pairs)) == said


def test_what_could_not_be_read_of_a_map_is_said_by_the_map_s_name() -> None:
    for data, name in (("@ports", "ports"), ({"set": odd()}, "a map")):
        rules = Rules().set("ports", "inet_service", odd(), map="verdict")
        rules.base("input", [{"vmap": {"key": field("tcp dport"), "data": data}}])
        (assumed, *_) = rules.judge(SSH, legs=("syn",)).outcomes[0].assumptions
        assert (assumed.kind, assumed.text) == (Doubt.SET, f"not all elements of {name} are known: continue")


@pytest.mark.parametrize(("value", "said"), [(1, "accept"), (2, "drop syn")])
def test_what_a_rule_set_is_what_the_next_one_finds(value: int, said: str) -> None:
    setting = {"mangle": {"key": field("meta pkttype"), "value": value}}
    assert Rules().base("input", [setting], [match("meta pkttype", 2), DROP]).verdict(SSH, legs=("syn",)) == said


@pytest.mark.parametrize(
    ("option", "packet", "said"),
    [
        ("-p tcp -m multiport --ports 22,80", SSH, "drop"), ("-p tcp -m multiport --ports 40000", SSH, "drop"),
        ("-p tcp -m multiport --ports 23,80", SSH, "accept"), ("-p tcp -m multiport --ports 22", NO_SPORT, "drop"),
        ("-p tcp -m multiport --ports 23", NO_SPORT, "accept drop"),
        ("-p tcp -m multiport --ports 23", NO_DPORT, "accept drop"), ("-m set --match-set ports dst", SSH, "drop"),
        ("-m set --match-set ports src", SSH, "accept"), ("-m set --match-set ports dst", NO_DPORT, "accept drop"),
        ("-m set ! --match-set ports src", SSH, "drop"), ("-m set ! --match-set ports dst", NO_DPORT, "accept drop"),
        ("-m conntrack --ctstate INVALID,DNAT", SSH, "accept"), ("-m conntrack --ctstate NEW,DNAT", SSH, "drop"),
        ("-m conntrack ! --ctstate DNAT", SSH, "drop"), ("-m conntrack ! --ctstate NEW,DNAT", SSH, "accept"),
    ],
)  # fmt: skip
def test_one_of_several_groups_of_conditions_is_enough(option: str, packet: str, said: str) -> None:
    text = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {option} -j DROP\nCOMMIT\n"
    firewall = Firewall(merge(None, [iptables.parse(text, "ip", PORTS)], PORTS))
    outcomes = firewall.judge(parse_packet(packet), ("syn",)).outcomes
    assert " ".join(sorted(outcome.verdict for outcome in outcomes)) == said


def test_where_a_new_address_alone_is_told_the_port_stays() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DNAT --to-destination 203.0.113.7\nCOMMIT\n"
    text += "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -d 203.0.113.7 -p tcp --dport 80 -j DROP\nCOMMIT\n"
    (outcome,) = Firewall(merge(None, [iptables.parse(text, "ip")])).judge(parse_packet(THROUGH), ("syn",)).outcomes
    assert outcome.verdict == "drop"
