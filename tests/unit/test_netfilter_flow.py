"""What a translation leaves known of a packet, and what must be asked anew behind it."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netfilter.flow import End
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Unsure
from tests.unit.firewall import ACCEPT, DROP, OUT, PROHIBITED, THROUGH, Rules, dnat, match

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
