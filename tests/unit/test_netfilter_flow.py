"""What a translation leaves known of a packet, and what must be asked anew behind it."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.flow import End
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from tests.unit.firewall import ACCEPT, DROP, HOST, NOTRACK, OUT, PROHIBITED, SSH, THROUGH, Rules, dnat, match, state

UNKNOWN, OTHER = Unsure(kind=Doubt.FIELD, text="sport"), Unsure(kind=Doubt.FIELD, text="dport")


def snat(address: str) -> dict[str, Any]:
    return {"snat": {"addr": address}}


@pytest.mark.parametrize(
    ("one", "other", "same", "may_be"),
    [
        (End(5, 40_000), End(5, int("40000")), True, True),
        (End(5, 1), End(6, 1), False, False),
        (End(5, 1), End(5, 2), False, False),
        (End(5, UNKNOWN), End(5, UNKNOWN), True, True),
        (End(5, UNKNOWN), End(5, OTHER), False, True),
        (End(5, UNKNOWN), End(5, 1), False, True),
        (End(5, UNKNOWN), End(6, 1), False, False),
        (End(UNKNOWN, 1), End(5, 1), False, True),
        (End(5, 1), End(UNKNOWN, 1), False, True),
        (End(UNKNOWN, 1), End(UNKNOWN, 1), False, True),
        (End(5, None), End(5, None), True, True),
    ],
)
def test_ends_are_the_same_only_where_that_is_known(one: End, other: End, same: bool, may_be: bool) -> None:
    assert (one == other) is same
    assert one.may_be(other) is may_be
    assert one != (one.address, one.port)


def test_a_new_destination_is_looked_up_anew_in_a_set_that_is_not_there() -> None:
    rules = Rules().base("prerouting", [match("ip daddr", "@gone"), DROP], priority=-150)
    rules.base("prerouting", [dnat("203.0.113.7")], kind="nat", priority=-100)
    rules.base("forward", [match("ip daddr", "@gone"), PROHIBITED])
    assert rules.verdict(THROUGH, legs=("syn",)) == "accept | drop syn | reject icmp-admin-prohibited syn"


def test_a_new_source_is_looked_up_anew_in_a_set_that_is_not_there() -> None:
    known = [match("ip saddr", "@gone"), ACCEPT]
    rules = Rules().base("forward", known, policy="drop", name="before")
    rules.base("postrouting", [snat("203.0.113.1")], kind="nat", priority=100)
    rules.base("postrouting", known, policy="drop", priority=110, name="behind")
    outcomes = rules.judge(THROUGH, legs=("syn",)).outcomes
    assert {(each.verdict, each.decider.chain) for each in outcomes} == {
        ("accept", "before"),
        ("drop", "before"),
        ("drop", "behind"),
    }


def test_an_unchanged_address_is_looked_up_once() -> None:
    known = [match("ip saddr", "@gone"), ACCEPT]
    rules = Rules().base("forward", known, policy="drop").base("forward", known, policy="drop", priority=5)
    assert len(rules.judge(THROUGH, legs=("syn",)).outcomes) == 2


@pytest.mark.parametrize(
    ("address", "said"), [("203.0.113.77", "accept | drop syn"), ("198.51.100.1", "drop syn")], ids=["new", "same"]
)
def test_whose_a_translated_source_is_is_known_only_where_nothing_changed(address: str, said: str) -> None:
    rules = Rules().base("postrouting", [snat(address)], kind="nat", priority=100)
    rules.base("postrouting", [match("fib saddr type", "local"), DROP], priority=110)
    assert rules.verdict(OUT, legs=("syn",)) == said


def test_who_let_the_first_packet_pass_is_who_let_the_connection_pass() -> None:
    rules = Rules().base("forward", [state("new"), ACCEPT], [state("established"), ACCEPT], policy="drop")
    rules.base("forward", [match("tcp dport", 81), ACCEPT], priority=5)
    (outcome,) = rules.judge(THROUGH).outcomes
    assert (outcome.verdict, outcome.leg, outcome.decider.index) == ("accept", "syn", 0)
    rules = Rules().base("forward").base("forward", [state("new"), match("tcp dport", 80), ACCEPT], priority=-5)
    assert rules.judge(THROUGH).outcomes[0].decider.index == 0
    assert Rules().base("forward").judge(THROUGH).outcomes[0].decider.text == "policy accept"


@pytest.mark.parametrize(("source", "own"), [("198.51.100.1", "127.0.0.1"), ("2001:db8::1", "::1")])
def test_what_the_host_sends_to_itself_is_local_when_it_arrives(source: str, own: str) -> None:
    packet = f"protocol=tcp,src={source},sport=4,dst={own},dport=80,oif=lo,hook=output"
    rules = Rules("inet").base("input", [match("fib daddr type", "local"), DROP])
    assert rules.verdict(packet, legs=("syn",)) == "drop syn"


@pytest.mark.parametrize("told", [None, HOST])
def test_an_answer_whose_question_was_not_tracked_begins_a_connection_and_goes_back_all_the_same(
    told: str | None,
) -> None:
    rules = Rules().base("prerouting", [match("meta iifname", "eth0"), NOTRACK], priority=-300)
    back = [match("meta oifname", "eth0"), match("udp sport", 80)]
    rules.base("forward", [*back, match("ct direction", "original"), state("new"), DROP])
    assert rules.verdict(THROUGH.replace("tcp", "udp"), told) == "drop syn-ack"


def test_a_packet_of_a_connection_has_its_state_and_meets_no_nat() -> None:
    rules = Rules().base("prerouting", [DROP], [dnat("203.0.113.7")], kind="nat", priority=-100)
    assert rules.verdict(f"{SSH},ct_state=established") == "accept"
    rules.base("input", [match("ct direction", "original"), state("established"), DROP])
    assert rules.verdict(f"{SSH},ct_state=established") == "drop syn"
    for untracked in ("untracked", "invalid"):
        rules = Rules().base("input", [match("ct direction", "original"), DROP], [state(untracked), PROHIBITED])
        assert rules.verdict(f"{SSH},ct_state={untracked}") == "reject icmp-admin-prohibited syn"


@pytest.mark.parametrize(
    ("flags", "said"),
    [("rst", "drop syn"), ("rst|ack", "drop syn"), ("fin|ack", "drop syn"), ("syn|ack", "drop syn"),
     ("psh", "drop syn"), ("ack", "accept"), ("psh|ack", "accept"), ("syn", "accept")],
)  # fmt: skip
def test_which_packets_begin_a_connection(flags: str, said: str) -> None:
    assert Rules().base("input", [state("invalid"), DROP]).verdict(f"{SSH},tcp_flags={flags}", legs=("syn",)) == said


def test_what_follows_an_answer_that_was_not_tracked_is_invalid() -> None:
    rules = Rules().base("prerouting", [match("meta iifname", "eth1"), NOTRACK], priority=-300)
    rules.base("forward", [state("invalid"), DROP])
    assert rules.verdict(THROUGH) == "drop ack"
    assert rules.verdict(THROUGH.replace("tcp", "udp")) == "accept"


@pytest.mark.parametrize(
    ("protocol", "source", "target", "request_type", "reply_type"),
    [("icmp", "192.0.2.1", "198.51.100.1", 8, 0), ("icmpv6", "2001:db8:1::1", "2001:db8:2::1", 128, 129)],
)
def test_an_echo_request_and_its_reply_have_their_types(
    protocol: str, source: str, target: str, request_type: int, reply_type: int
) -> None:
    packet = f"protocol={protocol},src={source},dst={target},iif=eth0"
    for hook, kind, leg in (("input", request_type, "syn"), ("output", reply_type, "syn-ack")):
        rules = Rules("inet").base(hook, [match(f"{protocol} type", kind), match(f"{protocol} code", 0), DROP])
        assert rules.verdict(packet) == f"drop {leg}"
        assert rules.verdict(f"{packet},icmp_type=3") == "accept"  # an error is not answered
        assert rules.verdict(f"{packet},icmp_type={request_type}") == f"drop {leg}"
    assert (
        Rules("inet").base("input", [match(f"{protocol} code", 3), DROP]).verdict(f"{packet},icmp_code=3") == "drop syn"
    )


def test_the_flags_of_a_first_packet_may_be_said_and_change_nothing() -> None:
    rules = Rules().base("output", [DROP])
    assert rules.verdict(f"{SSH},tcp_flags=syn") == "drop syn-ack"
    assert rules.verdict(f"{SSH},ct_state=new") == "drop syn-ack"
    passing = Rules().base(
        "input", [state("new"), match("tcp flags", "syn"), ACCEPT], [state("established"), ACCEPT], policy="drop"
    )
    assert passing.verdict(f"{SSH},ct_state=new") == "accept"
    for other in ("tcp_flags=syn|ack", "tcp_flags=ack", "ct_state=invalid"):
        assert rules.verdict(f"{SSH},{other}") == "accept"


def test_an_answer_comes_from_or_goes_to_the_host_as_its_question_did() -> None:
    reply = match("ct direction", "reply")
    assert Rules().base("output", [match("fib saddr type", "local"), reply, DROP]).verdict(SSH) == "drop syn-ack"
    for hook in ("prerouting", "input"):
        assert Rules().base(hook, [match("fib daddr type", "local"), reply, DROP]).verdict(OUT) == "drop syn-ack"
        assert Rules().base(hook, [match("fib saddr type", "unicast"), reply, DROP]).verdict(OUT) == "drop syn-ack"
    away = [match("fib saddr type", "unicast"), match("fib daddr type", "unicast"), reply, DROP]
    assert Rules().base("forward", away).verdict(THROUGH) == "drop syn-ack"


def test_what_the_host_sends_to_itself_leaves_by_no_device_when_it_arrives() -> None:
    packet = "protocol=tcp,src=198.51.100.1,sport=4,dst=203.0.113.1,dport=80,hook=output"
    for hook, meets in (("output", True), ("postrouting", True), ("prerouting", False), ("input", False)):
        rules = Rules().base(hook, [match("meta oifname", "lo"), DROP])
        assert rules.verdict(packet, HOST) == ("drop syn" if meets else "accept")


def test_an_answer_has_no_mark_whatever_its_question_had() -> None:
    assert Rules().base("output", [match("meta mark", 0), DROP]).verdict(f"{SSH},mark=7") == "drop syn-ack"


def test_a_new_connection_has_no_mark() -> None:
    assert Rules().base("input", [match("ct mark", 0), DROP]).verdict(SSH) == "drop syn"
    assert Rules().base("input", [match("ct mark", 0, "!="), DROP]).verdict(SSH) == "accept"
