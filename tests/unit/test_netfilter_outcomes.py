"""What is told beside a verdict: what the whole rests on, which rules were near, and how much of it is told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.evaluate import MISSES_LIMIT, Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.result import Outcome
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from tests.unit.firewall import ACCEPT, DROP, HOST, PROHIBITED, RESET, SSH, Rule, Rules, goto, jump, mark, match

AT_23 = match("tcp dport", 23)
CUT_OFF = Unsure(kind=Doubt.MISSING, text="cut off")


def doubted(rules: Rules) -> list[Outcome]:
    ruleset = parse_nft(rules.text)
    result = Firewall(replace(ruleset, doubts=(CUT_OFF,))).judge(parse_packet(SSH), ("syn",))
    assert not result.decided
    return list(result.outcomes)


@pytest.mark.parametrize(
    ("rule", "known", "others"),
    [
        ([ACCEPT], ("accept", None), ["drop", "reject"]),
        ([DROP], ("drop", None), ["accept", "reject"]),
        ([PROHIBITED], ("reject", "icmp-admin-prohibited"), ["accept", "drop", "reject"]),
    ],
    ids=["accept", "drop", "reject"],
)
def test_what_a_cut_off_ruleset_says_stands_beside_what_else_can_be(
    rule: Rule, known: tuple[str, str | None], others: list[str]
) -> None:
    first, *rest = doubted(Rules().base("input", rule))
    assert (first.verdict, first.answer) == known
    assert [each.text for each in first.assumptions] == ["cut off: changes nothing"]
    assert [each.verdict for each in rest] == others
    for each in rest:
        assert (each.answer, each.leg, each.decider.text) == (None, "syn", "cut off")
        assert [assumed.text for assumed in each.assumptions] == [f"cut off: {each.verdict}s"]


def test_addresses_that_were_not_understood_may_change_everything() -> None:
    host = parse_host(HOST)
    rules, packet = parse_nft(Rules().base("input", [DROP]).text), parse_packet(SSH)
    assert Firewall(rules, host).judge(packet).decided
    result = Firewall(rules, replace(host, is_whole=False)).judge(packet)
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    text = "addresses or routes that were not understood: changes nothing"
    assert [each.text for each in result.outcomes[0].assumptions] == [text]


NEAR: dict[str, Rule] = {"accept": [AT_23, ACCEPT], "drop": [AT_23, DROP], "reject": [AT_23, RESET]}


@pytest.mark.parametrize(
    ("end", "told"),
    [([ACCEPT], ["drop", "reject"]), ([DROP], ["accept"]), ([PROHIBITED], ["accept"])],
    ids=["accept", "drop", "reject"],
)
def test_near_misses_are_those_that_would_have_turned_the_outcome(end: Rule, told: list[str]) -> None:
    others: list[Rule] = [[AT_23, jump("log")], [AT_23, goto("log")], [AT_23, mark(5)]]
    rules = Rules().base("input", *NEAR.values(), *others, end).chain("log")
    (outcome,) = rules.judge(SSH, legs=("syn",), explain=True).outcomes
    assert [list(NEAR)[miss.decider.index or 0] for miss in outcome.misses] == told
    assert {(miss.condition, miss.was) for miss in outcome.misses} == {("tcp dport == 23", "22")}


def test_near_misses_are_looked_for_where_that_is_asked_for() -> None:
    rules = Rules().base("input", NEAR["accept"], policy="drop")
    assert rules.judge(SSH).outcomes[0].misses == ()
    ((leaf,), _) = Firewall(parse_nft(rules.text)).branches(parse_packet(SSH))
    assert list(leaf.end.misses) == []


def test_a_few_near_misses_are_told_and_no_more() -> None:
    near: list[Rule] = [[match("tcp dport", port), ACCEPT] for port in range(100, 110)]
    (outcome,) = Rules().base("input", *near, policy="drop").judge(SSH, explain=True).outcomes
    assert [miss.decider.index for miss in outcome.misses] == list(range(MISSES_LIMIT))
    assert MISSES_LIMIT == 5


def test_near_misses_are_those_of_the_packet_that_decides() -> None:
    rules = Rules().base("output", [match("tcp sport", 23), ACCEPT], policy="drop").base("input", NEAR["accept"])
    (outcome,) = rules.judge(SSH, explain=True).outcomes
    assert (outcome.leg, [(miss.leg, miss.condition) for miss in outcome.misses]) == (
        "syn-ack",
        [("syn-ack", "tcp sport == 23")],
    )
