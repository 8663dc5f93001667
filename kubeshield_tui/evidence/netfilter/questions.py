"""What is asked where a condition can't be known, and which questions are one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.ruleset import (
    ANY_BIT,
    EQUAL,
    NO_BIT,
    UNEQUAL,
    Condition,
    Doubt,
    Match,
    Rule,
    Unsure,
)
from kubeshield_tui.evidence.netfilter.shown import shown

POSITIVE = {UNEQUAL: EQUAL, NO_BIT: ANY_BIT}


class Asked(NamedTuple):
    """A condition that can't be known, in its positive form; `denied` where the rule has the opposite."""

    doubt: Unsure
    text: str
    identity: Hashable
    denied: bool


def question_of(condition: Condition, doubt: Unsure, rule: Rule) -> Asked:
    """Ask whether a condition holds of which something can't be known."""
    if isinstance(condition, Match) and condition.operator in POSITIVE:
        condition, denied = replace(condition, operator=POSITIVE[condition.operator]), True
    else:
        denied = False
    return Asked(doubt, shown(condition), _identity(doubt, rule, condition), denied)


def question_about(doubt: Unsure, rule: Rule) -> Asked:
    """Ask whether a match holds that is not understood."""
    return Asked(doubt, doubt.text, _identity(doubt, rule), False)


def _identity(doubt: Unsure, rule: Rule, condition: Hashable = None) -> Hashable:
    """Return what makes two questions one: the same condition, but of one rule where its text may not tell it all."""
    return (id(rule) if doubt.kind is Doubt.MODULE else 0, doubt.text, condition)
