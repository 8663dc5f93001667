"""What evaluation says: every outcome that can be, the rule that decides it, and the path to that rule."""

from __future__ import annotations

from kubeshield_tui.evidence.netfilter.ruleset import Doubt
from kubeshield_tui.model.record import Record

LEGS = ("syn", "syn-ack", "ack")
"""The packets of a handshake: request, answer, and the first packet after it (TCP only)."""


class Decider(Record, frozen=True):
    """The rule, policy or route that decides. index and handle are None for what is no rule."""

    family: str | None
    table: str | None
    chain: str | None
    index: int | None
    handle: int | None
    text: str
    counter: tuple[int, int] | None = None
    origin: str = ""
    """What listed its table: two backends may have tables of one name."""


class Assumption(Record, frozen=True):
    """What an outcome takes for true where the ruleset could not tell."""

    kind: Doubt
    where: str
    """Rule or source, as `ip filter INPUT #3`."""
    text: str
    """`limit rate 3/minute: below the limit`."""


class Step(Record, frozen=True):
    """A rule that matched, a policy that was met, a route that was taken or a field that changed."""

    leg: str
    hook: str
    decider: Decider
    effect: str
    """accept, drop, continue, jump X, goto X, return, policy accept, dnat to X, ..."""


class NearMiss(Record, frozen=True):
    """A rule that would have decided, had one condition held."""

    leg: str
    decider: Decider
    condition: str
    """The condition that failed."""
    was: str
    """What the packet has there."""


class Outcome(Record, frozen=True):
    """One thing that can happen to the connection."""

    verdict: str
    """accept, drop or reject."""
    answer: str | None
    """How it is rejected, see Reject; None: not rejected, or not known."""
    leg: str
    """The first leg that does not pass; syn where all pass."""
    decider: Decider
    nat: dict[str, str] | None = None
    """`dnat` and `snat`: address, port behind it where that changes too."""
    assumptions: tuple[Assumption, ...] = ()
    trace: tuple[Step, ...] = ()
    misses: tuple[NearMiss, ...] = ()


class Result(Record, frozen=True):
    """All outcomes; what happens is one of them. Decided where all agree on verdict, answer and leg."""

    decided: bool
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def as_json(result: Result) -> dict[str, object]:
    """Return a result as the command line prints it."""
    return {
        "decided": result.decided,
        "outcomes": [_outcome(outcome) for outcome in result.outcomes],
        "notes": list(result.notes),
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "verdict": outcome.verdict,
        "with": outcome.answer,
        "leg": outcome.leg,
        "decider": _decider(outcome.decider),
        "nat": outcome.nat,
        "assumptions": [
            {"kind": str(each.kind), "where": each.where, "text": each.text} for each in outcome.assumptions
        ],
        "trace": [
            {"leg": step.leg, "hook": step.hook, "effect": step.effect, **_decider(step.decider)}
            for step in outcome.trace
        ],
    }


def _decider(decider: Decider) -> dict[str, object]:
    counter = decider.counter
    return {
        "family": decider.family,
        "table": decider.table,
        "chain": decider.chain,
        "index": decider.index,
        "handle": decider.handle,
        "text": decider.text,
        "counter": None if counter is None else {"packets": counter[0], "bytes": counter[1]},
    }
