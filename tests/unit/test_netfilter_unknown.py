"""What can't be known: how often it is asked, what it makes undecided, and that it never hides an outcome."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.forks import BRANCH_LIMIT
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import parse_packet
from kubeshield_tui.evidence.netfilter.ruleset import Doubt
from tests.unit.firewall import (
    ACCEPT,
    DROP,
    LIMIT,
    LOG,
    PROHIBITED,
    RETURN,
    SSH,
    THROUGH,
    Rules,
    effects,
    field,
    jump,
    mark,
    match,
    state,
)

OWNER = match("meta skuid", 0)
OUT = "protocol=tcp,src=198.51.100.1,sport=40000,dst=203.0.113.9,dport=80,oif=eth1,hook=output"


def xt(name: str, kind: str = "match") -> dict[str, Any]:
    return {"xt": {"type": kind, "name": name}}


def first(packet: str) -> dict[str, Any]:
    return {"packet": packet, "legs": ("syn",)}


def test_a_rule_that_can_not_be_known_is_taken_and_left_out() -> None:
    result = Rules().base("input", [LIMIT, DROP]).judge(**first(SSH))
    assert not result.decided
    assert [outcome.verdict for outcome in result.outcomes] == ["drop", "accept"]
    assert [outcome.assumptions[0].kind for outcome in result.outcomes] == [Doubt.RATE, Doubt.RATE]
    assert "limit rate 3/minute" in result.outcomes[0].assumptions[0].text


def test_the_likely_way_of_a_limit_comes_first() -> None:
    over = {"limit": {"rate": 3, "per": "minute", "burst": 5, "inv": True}}
    for limit, likely in ((LIMIT, "drop"), (over, "accept")):
        outcomes = Rules().base("input", [limit, DROP]).judge(**first(SSH)).outcomes
        assert [outcome.verdict for outcome in outcomes] == [likely, "accept" if likely == "drop" else "drop"]


def test_what_comes_out_the_same_either_way_is_decided_without_assumption() -> None:
    result = Rules().base("input", [LIMIT, jump("log")], [DROP]).chain("log", [LOG]).judge(**first(SSH))
    assert result.decided
    assert len(result.outcomes) == 1
    assert result.outcomes[0].assumptions == ()


@pytest.mark.parametrize("effect", [LOG, mark(7), {"counter": {"packets": 0, "bytes": 0}}])
def test_no_question_for_what_makes_no_difference(effect: dict[str, Any]) -> None:
    rules = Rules().base("input", *[[LIMIT, effect]] * (BRANCH_LIMIT + 1), [ACCEPT])
    assert rules.judge(**first(SSH)).decided


def test_a_mark_that_somebody_reads_makes_a_difference() -> None:
    rules = Rules().base("input", [LIMIT, mark(7)], [match("meta mark", 7), DROP])
    assert rules.verdict(**first(SSH)) == "accept | drop syn"


def test_a_rule_asks_once_for_all_that_it_can_not_know() -> None:
    rules = Rules().base("output", [OWNER, LIMIT, match("meta cgroup", 5), DROP])
    result = rules.judge(**first(OUT))
    assert len(result.outcomes) == 2
    assert all(len(outcome.assumptions) == 1 for outcome in result.outcomes)


def test_a_rule_whose_later_condition_fails_asks_nothing() -> None:
    assert Rules().base("input", [LIMIT, match("tcp dport", 23), DROP]).judge(**first(SSH)).decided


def test_one_question_has_one_answer() -> None:
    """Root is root in both rules: `skuid 0` and `skuid != 0` are one question."""
    other = match("meta skuid", 0, "!=")
    rules = Rules().base("output", [OWNER, DROP], [other, PROHIBITED], [ACCEPT])
    assert rules.verdict(**first(OUT)) == "drop syn | reject icmp-admin-prohibited syn"


def test_and_the_same_answer_for_all_packets_that_go_that_way() -> None:
    rules = Rules().base("output", [OWNER, state("new"), ACCEPT], [OWNER, DROP])
    assert rules.verdict(OUT) == "accept | drop ack"


def test_unlike_questions_that_read_alike_have_each_their_own() -> None:
    """nft leaves the options of iptables' matches out: two rules with `xt conntrack` may ask for different states."""
    rules = Rules().base("input", [xt("conntrack"), mark(7)], [xt("conntrack"), match("meta mark", 7), DROP])
    rules.base("input", [match("meta mark", 7), PROHIBITED], priority=1)
    assert rules.verdict(**first(SSH)) == "accept | drop syn | reject icmp-admin-prohibited syn"


def test_a_limit_is_asked_each_time_it_is_met() -> None:
    rules = Rules().base("input", [jump("limit")], [jump("limit")]).chain("limit", [LIMIT, RETURN], [DROP])
    assert len({outcome.trace[-1].decider for outcome in rules.judge(**first(SSH)).outcomes}) == 2


def test_too_many_branches_are_unknown() -> None:
    limits = [[LIMIT, mark({"|": [field("meta mark"), 1 << bit]})] for bit in range(12)]
    result = Rules().base("input", *limits, [match("meta mark", 5), DROP]).judge(**first(SSH))
    assert not result.decided
    assert {outcome.verdict for outcome in result.outcomes} == {"accept", "drop", "reject"}
    assert all(outcome.assumptions[-1].kind is Doubt.BRANCHES for outcome in result.outcomes)


def test_a_draw_of_many_is_no_explosion() -> None:
    """A Service of 200 endpoints: all are real, and the verdict is the same for all."""
    pairs = [[number, {"concat": [f"10.244.0.{number + 1}", 8080]}] for number in range(200)]
    drawn = {"numgen": {"mode": "random", "mod": 200, "offset": 0}}
    rules = Rules().base(
        "prerouting", [{"dnat": {"addr": {"map": {"key": drawn, "data": {"set": pairs}}}}}], kind="nat", priority=-100
    )
    result = rules.judge(THROUGH)
    assert result.decided
    assert len({outcome.nat["dnat"] for outcome in result.outcomes if outcome.nat}) == 200


def test_a_draw_of_one_is_none() -> None:
    drawn = {"numgen": {"mode": "random", "mod": 1, "offset": 0}}
    rules = Rules().base("input", [{"vmap": {"key": drawn, "data": {"set": [[0, DROP]]}}}])
    assert rules.judge(SSH).outcomes[0].assumptions == ()


@pytest.mark.parametrize("name", ["numgen", "jhash", "symhash"])
def test_every_number_of_an_exhaustive_draw_has_its_verdict(name: str) -> None:
    drawn = {"mod": 4, **({"mode": "inc", "offset": 0} if name == "numgen" else {})}
    pairs = [[{"range": [0, 1]}, DROP], [{"range": [2, 3]}, {"goto": {"target": "refuse"}}]]
    rules = Rules().base("input", [{"vmap": {"key": {name: drawn}, "data": {"set": pairs}}}])
    rules.chain("refuse", [PROHIBITED])
    assert rules.verdict(SSH) == "drop syn | reject icmp-admin-prohibited syn"


def test_a_draw_that_the_map_does_not_cover_may_miss() -> None:
    drawn = {"numgen": {"mode": "inc", "mod": 4, "offset": 0}}
    rules = Rules().base("input", [{"vmap": {"key": drawn, "data": {"set": [[0, DROP]]}}}])
    assert rules.verdict(**first(SSH)) == "accept | drop syn"


def test_a_property_that_was_not_given_is_asked() -> None:
    packet = SSH.replace(",sport=40000", "")
    rules = Rules().base("input", [match("tcp sport", {"range": [1024, 65535]}), DROP])
    assert rules.verdict(packet, legs=("syn",)) == "accept | drop syn"
    assert rules.judge(packet).outcomes[0].assumptions[0].kind is Doubt.FIELD


def test_what_is_known_of_a_concatenation_is_used() -> None:
    both = {"concat": [field("ip saddr"), field("tcp sport")]}
    packet = SSH.replace(",sport=40000", "")
    for address, said in (("192.0.2.9", "accept"), ("192.0.2.1", "accept | drop syn")):
        condition = {"match": {"op": "==", "left": both, "right": {"set": [{"concat": [address, 5]}]}}}
        assert Rules().base("input", [condition, DROP]).verdict(packet, legs=("syn",)) == said


def test_a_set_that_is_not_in_the_dump_may_hold_anything() -> None:
    for rule in ([match("ip saddr", "@gone"), DROP], [{"vmap": {"key": field("ip saddr"), "data": "@gone"}}]):
        assert "drop syn" in Rules().base("input", rule).verdict(**first(SSH))
        assert "accept" in Rules().base("input", rule).verdict(**first(SSH))


def test_a_chain_that_is_not_in_the_dump_may_do_anything() -> None:
    rules = Rules().base("input", [jump("gone")], [DROP])
    assert rules.verdict(**first(SSH)) == "accept | drop syn | reject syn"


@pytest.mark.parametrize("element", ["host.example", {"odd": 1}, {"concat": ["192.0.2.1"]}, None, {"prefix": {}}])
def test_a_set_with_an_element_that_can_not_be_read_is_not_complete(element: object) -> None:
    rules = Rules().set("some", "ipv4_addr", ["192.0.2.1", element]).base("input", [match("ip saddr", "@some"), DROP])
    assert "drop syn" in rules.verdict(**first(SSH))
    other = rules.verdict(**first(SSH.replace("192.0.2.1", "192.0.2.2")))
    assert "drop syn" in other
    assert "accept" in other


def test_options_of_iptables_that_nft_does_not_print_are_unknown() -> None:
    assert Rules().base("input", [xt("conntrack"), DROP]).verdict(**first(SSH)) == "accept | drop syn"
    assert Rules().base("input", [xt("comment"), DROP]).verdict(**first(SSH)) == "drop syn"
    assert Rules().base("input", [xt("LOG", "target")]).verdict(**first(SSH)) == "accept"
    assert Rules().base("input", [xt("REJECT", "target")]).verdict(**first(SSH)) == "reject syn"
    assert Rules().base("input", [xt("NEWTARGET", "target")]).verdict(**first(SSH)) == "accept | drop syn | reject syn"
    rules = Rules().base("prerouting", [xt("DNAT", "target")], kind="nat", priority=-100)
    rules.base("forward", [match("ip daddr", "10.0.0.1"), DROP])
    assert rules.verdict(**first(THROUGH)) == "accept | drop syn"


@pytest.mark.parametrize(
    "statement",
    [{"newthing": {"a": 1}}, {"match": {"op": "~", "left": field("tcp dport"), "right": 5}}, {"match": 5}, {"vmap": []},
     {"match": {"op": "==", "left": {"newfield": 1}, "right": 5}}, {"synproxy": {"mss": 1460}}, {"queue": {"num": 0}}],
)  # fmt: skip
def test_statements_that_are_not_known_fork(statement: dict[str, Any]) -> None:
    result = Rules().base("input", [statement, DROP]).judge(**first(SSH))
    assert not result.decided
    assert {"accept", "drop"} <= {outcome.verdict for outcome in result.outcomes}


def test_two_neighbouring_unequals_may_be_one_in_the_kernel() -> None:
    """nft 1.0.6 loads `sport != a dport != b` as one comparison of both, and lists it as two."""
    rules = Rules().base("input", [match("tcp sport", 40000, "!="), match("tcp dport", 23, "!="), DROP])
    assert rules.verdict(**first(SSH)) == "accept | drop syn"
    for sport, dport, said in ((1, 2, "drop syn"), (40000, 22, "accept")):
        both = [match("tcp sport", sport, "!="), match("tcp dport", dport, "!="), DROP]
        assert Rules().base("input", both).verdict(**first(SSH)) == said


def test_a_family_that_nft_may_have_left_out_is_said() -> None:
    reset = {"reject": {"type": "tcp reset"}}
    (outcome,) = Rules("inet").base("input", [reset]).judge(**first(SSH)).outcomes
    assert "meta nfproto" in outcome.assumptions[0].text
    (outcome,) = Rules("inet").base("input", [match("ip saddr", "192.0.2.1"), reset]).judge(**first(SSH)).outcomes
    assert outcome.assumptions == ()
    (outcome,) = Rules("ip").base("input", [reset]).judge(**first(SSH)).outcomes
    assert outcome.assumptions == ()


def test_rules_that_lead_in_circles_are_unknown_and_end() -> None:
    rules = Rules().base("input", [jump("a")]).chain("a", [{"goto": {"target": "b"}}]).chain("b", [jump("a")])
    assert "drop syn" in rules.verdict(**first(SSH))
    rules = Rules().base("input", [{"goto": {"target": "a"}}]).chain("a", [{"goto": {"target": "a"}}])
    assert "accept" in rules.verdict(**first(SSH))


def test_near_misses_name_the_condition_and_what_the_packet_has() -> None:
    rules = Rules().base("input", [match("ip saddr", "192.0.2.9"), match("tcp dport", 22), ACCEPT], policy="drop")
    (outcome,) = rules.judge(SSH, explain=True).outcomes
    (miss,) = outcome.misses
    assert (miss.condition, miss.was) == ("ip saddr == 192.0.2.9", "192.0.2.1")
    far = Rules().base("input", [match("ip saddr", "192.0.2.9"), match("tcp dport", 23), ACCEPT], policy="drop")
    assert far.judge(SSH, explain=True).outcomes[0].misses == ()


def test_long_chains_are_indexed_and_say_the_same() -> None:
    rules: list[Any] = [[match("ip daddr", f"198.51.100.{host}"), jump("hit")] for host in range(1, 40)]
    rules += [[match("ip saddr", "192.0.2.1"), mark(1)], [match("tcp dport", {"set": [22, 23]}), PROHIBITED]]
    made = Rules().base("input", *rules).chain("hit", [RETURN])
    assert made.verdict(SSH) == "reject icmp-admin-prohibited syn"
    assert effects(made.judge(SSH)) == ["jump hit", "return", "continue", "reject with icmp-admin-prohibited"]
    unknown = SSH.replace(",dport=22", "")
    assert made.verdict(unknown, legs=("syn",)) == "accept | reject icmp-admin-prohibited syn"


def test_a_hook_without_chains_is_said() -> None:
    (outcome,) = Rules().judge(SSH).outcomes
    assert (outcome.verdict, outcome.decider.text) == ("accept", "no chain is at its hook")


def test_translation_that_is_not_known_leaves_the_destination_open() -> None:
    hidden = {"map": {"key": field("tcp dport"), "data": "@gone"}}
    rules = Rules().base("prerouting", [{"dnat": {"addr": hidden}}], kind="nat", priority=-100)
    rules.base("forward", [match("ip daddr", "10.0.0.1"), DROP])
    assert rules.verdict(**first(THROUGH)) == "accept | drop syn"


def test_a_chain_that_lost_rules_is_walked_by_place_and_named_by_index() -> None:
    """Leaving a rule out, to see what it does, must not turn the walk to its neighbours."""
    rules = [[match("ip daddr", f"198.51.100.{host}"), jump("hit")] for host in range(1, 40)]
    written = Rules().base("input", *rules, [DROP], policy="accept", name="long").chain("hit", [RETURN])
    ruleset = parse_nft(written.text)
    (table,) = ruleset.tables
    chain = table.chains["long"]
    less = replace(table, chains={**table.chains, "long": replace(chain, rules=chain.rules[20:])})
    (outcome,) = (
        Firewall(replace(ruleset, tables=(less,))).judge(parse_packet(SSH.replace("100.1,", "100.30,"))).outcomes
    )
    assert [(step.decider.index, step.effect) for step in outcome.trace] == [
        (29, "jump hit"),
        (0, "return"),
        (39, "drop"),
    ]
