"""Conditions in three values: what is known of a value that is not known whole, and what never holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.elements import Elements
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Field, Joined, Match
from tests.unit.firewall import ACCEPT, DROP, OUT, PROHIBITED, SSH, Rules, field, mark, match

NO_SPORT = SSH.replace(",sport=40000", "")
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
