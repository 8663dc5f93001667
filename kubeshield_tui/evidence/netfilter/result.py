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
    """A rule that would have decided, had one field been another."""

    leg: str
    decider: Decider
    field: str
    """The condition that failed, as the ruleset has it."""
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
