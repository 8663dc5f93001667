"""Walking chains at its edges: how deep, where it goes on, what is asked anew, and what the answer's steps tell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter import forks
from kubeshield_tui.evidence.netfilter.result import Outcome
from kubeshield_tui.evidence.netfilter.walk import DEPTH_LIMIT
from tests.unit.firewall import (
    ACCEPT,
    DROP,
    HOST,
    LIMIT,
    NOTRACK,
    OUT,
    PROHIBITED,
    RESET,
    SSH,
    THROUGH,
    Rules,
    effects,
    field,
    goto,
    jump,
    mark,
    match,
    state,
)

UNMARKED = [match("ip daddr", f"192.0.2.{number}") for number in range(100, 120)]
"""Conditions of so many rules that a chain gets an index."""


def set_destination(address: str) -> dict[str, Any]:
    return {"mangle": {"key": field("ip daddr"), "value": address}}


def nested(depth: int) -> Rules:
    """A base chain from which so many jumps lead to a drop."""
    rules = Rules().base("input", [jump("c1")])
    for number in range(1, depth):
        rules.chain(f"c{number}", [jump(f"c{number + 1}")])
    return rules.chain(f"c{depth}", [DROP])


def test_jumps_are_followed_as_deep_as_the_kernel_lets_them_lead() -> None:
    assert nested(DEPTH_LIMIT).verdict(SSH, legs=("syn",)) == "drop syn"
    assert DEPTH_LIMIT == 16
    deeper = nested(DEPTH_LIMIT + 1).judge(SSH, legs=("syn",))
    assert not deeper.decided
    assert any(
        "jumps in circles or too deep" in each.text for outcome in deeper.outcomes for each in outcome.assumptions
    )


def test_a_chain_that_is_not_there_is_named_by_what_it_would_do() -> None:
    outcomes = Rules().base("input", [jump("gone")], [DROP]).judge(SSH, legs=("syn",)).outcomes
    dropped = next(outcome for outcome in outcomes if outcome.trace[-1].effect.startswith("drop ("))
    assert dropped.trace[-1].effect == "drop (chain gone is not in the dump)"
    assert dropped.decider.text == "jump gone"


def test_behind_a_goto_to_a_chain_that_is_not_there_nothing_runs() -> None:
    for lead, said in ((jump, "drop"), (goto, "reject")):
        rules = Rules().base("input", [jump("a")], [PROHIBITED]).chain("a", [lead("gone")], [DROP])
        outcomes = rules.judge(SSH, legs=("syn",)).outcomes
        (behind,) = (outcome for outcome in outcomes if outcome.decider.text != f"{lead.__name__} gone")
        assert behind.verdict == said
        assert [each.text for each in behind.assumptions] == ["chain gone is not in the dump: continue"]


def test_circles_end_where_they_are_left_by_guess() -> None:
    outcomes = (
        Rules().base("input", [jump("a")]).chain("a", [{"goto": {"target": "a"}}]).judge(SSH, legs=("syn",)).outcomes
    )
    refused = next(outcome for outcome in outcomes if outcome.verdict == "reject")
    assert refused.trace[-1].effect == "reject (jumps in circles or too deep)"
    assert refused.decider == refused.trace[-1].decider


def test_a_chain_may_be_entered_any_number_of_times_but_not_from_within_itself() -> None:
    rules = Rules().base("input", *[[jump("count")]] * 3000, [DROP]).chain("count", [match("tcp dport", 23), ACCEPT])
    assert rules.verdict(SSH, legs=("syn",)) == "drop syn"
    rules = Rules().base("input", [jump("a")], [DROP]).chain("a", [{"goto": {"target": "b"}}]).chain("b", [jump("a")])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn | reject syn"
    rules = Rules().base("input", [jump("a")], [jump("b")], [DROP]).chain("a", [{"goto": {"target": "b"}}]).chain("b")
    assert rules.verdict(SSH, legs=("syn",)) == "drop syn"


def test_more_jumps_than_anyone_follows_are_not_known() -> None:
    rules = Rules().base("input", [jump("c0")], [jump("c0")])
    for number in range(15):
        rules.chain(f"c{number}", [jump(f"c{number + 1}")], [jump(f"c{number + 1}")])
    result = rules.chain("c15").judge(SSH, legs=("syn",))
    assert not result.decided
    for outcome in result.outcomes:
        assert [each.text for each in outcome.assumptions] == [f"more jumps than are followed: {said(outcome)}"]
        assert outcome.decider == outcome.trace[-1].decider


def said(outcome: Outcome) -> str:
    return "continue" if outcome.decider.text.startswith("policy") else outcome.verdict


@pytest.mark.parametrize(("limit", "decided"), [(2, True), (1, False)])
def test_other_ways_are_tried_until_too_many_chains_were_entered(
    monkeypatch: pytest.MonkeyPatch, limit: int, decided: bool
) -> None:
    """Whether a limit holds changes nothing here, and that takes a walk for each of the two answers to see."""
    monkeypatch.setattr(forks, "WORK_LIMIT", limit)
    result = Rules().base("input", [LIMIT, ACCEPT]).judge(SSH, legs=("syn",))
    assert result.decided is decided


def test_what_routes_do_is_a_step() -> None:
    result = Rules().base("prerouting", [ACCEPT]).judge(THROUGH.replace("203.0.113.9", "100.64.0.1"), HOST)
    assert result.outcomes[0].verdict == "reject"
    assert effects(result)[-1] == "no route to 100.64.0.1"


def test_sets_of_one_name_in_two_tables_are_two() -> None:
    add = {"set": {"op": "add", "elem": field("ip saddr"), "set": "@seen"}}
    rules = Rules("ip", "one").set("seen", "ipv4_addr", []).base("input", [add])
    rules.base("input", [match("ip saddr", "@seen"), PROHIBITED], priority=5)
    assert rules.verdict(SSH) == "reject icmp-admin-prohibited syn"
    rules = Rules("ip", "one").set("seen", "ipv4_addr", []).base("input", [add])
    rules.table("ip", "two").set("seen", "ipv4_addr", []).base("input", [match("ip saddr", "@seen"), DROP], priority=5)
    assert rules.verdict(SSH, legs=("syn",)) == "accept"


def test_a_map_that_packets_fill_gives_back_what_was_put_in() -> None:
    add = {"map": {"op": "add", "elem": field("ip saddr"), "data": 5, "map": "@marks"}}
    put = {"mangle": {"key": field("meta mark"), "value": {"map": {"key": field("ip saddr"), "data": "@marks"}}}}
    for data, said in ((5, "drop syn"), (6, "accept")):
        add["map"]["data"] = data
        rules = Rules().set("marks", "ipv4_addr", [], map="mark")
        rules.base("input", [add], [put, match("meta mark", 5), DROP])
        assert rules.verdict(SSH, legs=("syn",)) == said
    add["map"]["data"] = {"numgen": {"mode": "random", "mod": 9, "offset": 0}}
    rules = Rules().set("marks", "ipv4_addr", [], map="mark").base("input", [add], [put, match("meta mark", 5), DROP])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn"
    add["map"]["data"] = field("ip6 saddr")
    rules = Rules().set("marks", "ipv4_addr", [], map="mark").base("input", [add, DROP])
    assert rules.verdict(SSH, legs=("syn",)) == "accept"


def test_a_new_address_counts_for_the_rules_behind_in_a_long_chain_too() -> None:
    others = [[condition, PROHIBITED] for condition in UNMARKED]
    passed = [*others[:10], [set_destination("192.0.2.115")], *others[10:15], *others[16:]]
    rules = Rules().base("input", *passed, [match("tcp dport", 22), DROP], name="long")
    result = rules.judge(SSH, legs=("syn",))
    assert effects(result) == ["continue", "drop"]
    rules = Rules().base("input", *others[:10], [set_destination("192.0.2.115")], *others[10:], [DROP], name="long")
    assert rules.verdict(SSH, legs=("syn",)) == "reject icmp-admin-prohibited syn"


def test_a_new_address_is_looked_up_anew_in_a_set_that_is_not_there() -> None:
    known = match("ip daddr", "@gone")
    rules = Rules().base("input", [known, DROP], [set_destination("192.0.2.1")], [known, PROHIBITED])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn | reject icmp-admin-prohibited syn"
    known, changed = match("ip dscp", "@gone"), {"mangle": {"key": field("ip dscp"), "value": 5}}
    rules = Rules().base("input", [known, DROP], [changed], [known, PROHIBITED])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn | reject icmp-admin-prohibited syn"


def test_a_mark_that_is_set_to_something_unknown_again_is_asked_again() -> None:
    unknown = [mark({"map": {"key": field(key), "data": "@gone"}}) for key in ("tcp dport", "tcp sport")]
    one = match("meta mark", 1)
    rules = Rules().base("input", [unknown[0]], [one, DROP], [unknown[1]], [one, PROHIBITED])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn | reject icmp-admin-prohibited syn"
    rules = Rules().base("input", [unknown[0]], [one, ACCEPT], [match("meta mark", 1, "!="), DROP], [PROHIBITED])
    assert rules.verdict(SSH, legs=("syn",)) == "accept | drop syn"


def test_the_answer_is_another_packet_and_what_follows_is_the_same_one() -> None:
    """An address is in a set that is not there, or not, for all packets from it; the answer comes from another."""
    rules = Rules().base("forward", [match("ip saddr", "@gone"), DROP])
    assert rules.verdict(THROUGH) == "accept | drop syn | drop syn-ack"


def test_what_a_packet_carries_is_not_the_same_in_the_next() -> None:
    rules = Rules().base("forward", [match("ip dscp", 5), match("ct direction", "original"), DROP])
    assert rules.verdict(THROUGH) == "accept | drop ack | drop syn"


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (["!="], "ip saddr == @gone"),
        (["=="], "ip saddr == @gone"),
        (["!=", "!="], "not (ip saddr == @gone) and not (tcp dport == @gone)"),
        (["==", "!="], "ip saddr == @gone and not (tcp dport == @gone)"),
    ],
)
def test_an_assumption_says_what_was_taken_for_true(conditions: list[str], said: str) -> None:
    rule = [match(name, "@gone", each) for name, each in zip(("ip saddr", "tcp dport"), conditions, strict=False)]
    outcomes = Rules().base("input", [*rule, DROP]).judge(SSH, legs=("syn",)).outcomes
    dropped = next(outcome for outcome in outcomes if outcome.verdict == "drop")
    answer = "no" if conditions == ["!="] else "yes"
    assert [each.text for each in dropped.assumptions] == [f"{said}: {answer}"]


def test_what_decides_about_the_way_is_asked_about_though_no_rule_reads_it() -> None:
    refused = json.loads(HOST)
    refused["rule"] = [
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": 10, "src": "all", "fwmark": "0x7", "table": "100"},
        {"priority": 32766, "src": "all", "table": "main"},
    ]
    refused["route"].append({"type": "prohibit", "dst": "default", "table": "100"})
    rules = Rules().base("prerouting", [LIMIT, mark(7)])
    assert rules.verdict(THROUGH, json.dumps(refused), legs=("syn",)) == "accept | reject icmp-admin-prohibited syn"
    assert rules.judge(THROUGH, HOST, legs=("syn",)).decided
    rules = Rules().base("prerouting", [LIMIT, set_destination("100.64.0.1")])
    assert rules.verdict(THROUGH, HOST, legs=("syn",)) == "accept | reject icmp-net-unreachable syn"
    assert (
        rules.judge(THROUGH.replace("tcp", "udp"), HOST, legs=("syn",)).outcomes[0].decider.text
        == "no route to 100.64.0.1"
    )
    ct_mark = {"mangle": {"key": field("ct mark"), "value": 7}}
    assert Rules().base("prerouting", [LIMIT, ct_mark]).judge(THROUGH, json.dumps(refused), legs=("syn",)).decided


def test_what_would_not_have_decided_is_no_near_miss() -> None:
    rules = Rules().base("input", [match("tcp dport", 23), mark(1)], [match("tcp dport", 23), RESET], [ACCEPT])
    (miss,) = rules.judge(SSH, explain=True).outcomes[0].misses
    assert miss.decider.index == 1
    assert rules.judge(OUT, explain=True).outcomes[0].misses == ()


def rewritten(name: str, value: object) -> dict[str, Any]:
    return {"mangle": {"key": field(name), "value": value}}


def test_stateless_translation_leads_where_it_says_and_back() -> None:
    """Addresses that rules rewrite themselves, beside conntrack: the answer needs a rule of its own."""
    forth = [rewritten("ip daddr", "203.0.113.9"), rewritten("tcp dport", 8080), NOTRACK]
    back = [
        match("ip saddr", "203.0.113.9"),
        rewritten("ip saddr", "198.51.100.1"),
        rewritten("tcp sport", 22),
        NOTRACK,
    ]
    rules = Rules().base("prerouting", [match("meta iifname", "eth0"), *forth], priority=-300)
    seen = [match("ip daddr", "203.0.113.9"), match("tcp dport", 8080), match("th dport", 8080), ACCEPT]
    rules.base("forward", seen, [match("meta iifname", "eth1"), ACCEPT], policy="drop")
    assert "not translated" in rules.judge(SSH, HOST).outcomes[0].decider.text
    rules.base("postrouting", [match("meta iifname", "eth1"), *back], priority=300)
    assert rules.verdict(SSH, HOST) == "accept"


@pytest.mark.parametrize("name", ["udp dport", "ip6 daddr", "icmp type"])
def test_a_field_that_the_packet_has_not_is_not_set_and_the_rule_not_met(name: str) -> None:
    value = "2001:db8::1" if name == "ip6 daddr" else 8
    rules = Rules("inet").base("input", [rewritten(name, value), DROP], [match(name, value), DROP])
    assert rules.verdict(SSH, legs=("syn",)) == "accept"
    assert Rules().base("input", [rewritten("ip dscp", 5)], [match("ip dscp", 5), DROP]).verdict(SSH) == "drop syn"


TRANSLATED = "reject icmp-admin-prohibited syn"


@pytest.mark.parametrize(
    ("kind", "priority", "statement", "said"),
    [
        ("nat", -100, {"newthing": 1}, f"accept | drop syn | {TRANSLATED} | reject syn"),
        ("nat", -100, jump("gone"), f"accept | drop syn | {TRANSLATED} | reject syn"),
        ("nat", -100, {"queue": None}, "accept | drop syn"),
        ("filter", -150, {"newthing": 1}, "accept | drop syn | reject syn"),
    ],
    ids=["nat", "nat-jump", "nat-queue", "filter"],
)
def test_what_is_not_understood_may_translate_where_translation_is_done(
    kind: str, priority: int, statement: dict[str, Any], said: str
) -> None:
    rules = Rules().base("prerouting", [statement], kind=kind, priority=priority)
    rules.base("forward", [match("ip daddr", "10.0.0.1"), PROHIBITED], [state("new"), ACCEPT])
    assert rules.verdict(THROUGH, legs=("syn",)) == said
