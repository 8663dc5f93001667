"""Do the rules and the wire agree? What the collected rules make us expect, beside what was observed. Pure, total.

Every pair has one code and one sentence. Nothing `agrees` while a layer was not collected: then it is `compatible`.
A finding that rests on an assumption, or on one observation, is one step less severe.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.observation import Reason, State


class Expected(StrEnum):
    """What the first layer that decides makes of the visitor."""

    ALLOW = "allow"
    POLICY_DENY = "policy-deny"
    DROP = "drop"
    REJECT_RESET = "reject-reset"
    REJECT_ICMP = "reject-icmp"
    LATE_REJECT = "late-reject"
    """The handshake passes, the first packet after it is refused."""
    NO_ROUTE = "no-route"
    UNKNOWN = "unknown"
    NONE = "none"
    """No rule was collected at all."""


class Seen(StrEnum):
    """What was observed, as far as it bears on rules."""

    OPEN = "open"
    RESET = "reset"
    """Handshake, then a reset before a byte."""
    REFUSED = "refused"
    REJECTED = "rejected"
    """An ICMP error."""
    SILENCE = "silence"
    SAYS_NOTHING = "says-nothing"
    """UDP silence: open or filtered."""
    NOTHING = "nothing"
    """Our own failure, lost, or not asked."""


class Code(StrEnum):
    """How the two stand to each other. The first six are findings."""

    NOT_ENFORCED = "not-enforced"
    BYPASSED = "bypassed"
    BLOCKED_ELSEWHERE = "blocked-elsewhere"
    REJECTED_ELSEWHERE = "rejected-elsewhere"
    NOTHING_LISTENS = "nothing-listens"
    UNEXPECTED_LISTENER = "unexpected-listener"
    AGREES = "agrees"
    COMPATIBLE = "compatible"
    RESOLVED = "resolved"
    """The rules could not decide; the wire did."""
    NO_EVIDENCE = "no-evidence"
    NOT_COMPARED = "not-compared"


DISAGREEMENTS = frozenset(list(Code)[:6])
_SEVERITIES = {
    Code.NOT_ENFORCED: Severity.CRITICAL,
    Code.BYPASSED: Severity.CRITICAL,
    Code.BLOCKED_ELSEWHERE: Severity.MEDIUM,
    Code.REJECTED_ELSEWHERE: Severity.MEDIUM,
    Code.NOTHING_LISTENS: Severity.LOW,
    Code.UNEXPECTED_LISTENER: Severity.MEDIUM,
}


class Circumstances(NamedTuple):
    """What else bears on the comparison."""

    complete: bool = False
    """Every layer that applies was collected."""
    assumed: bool = False
    """The expectation rests on an assumption that was named."""
    listener: bool | None = None
    """Whether something should listen there: a ready backend, a listening socket."""
    deny_style: str = ""
    """How the policy engine refuses: drop, reject or icmp; empty where it is not known."""
    collapsed: bool = False
    """The vantage can't tell a reject from a closed port, as SSH forwarding can't."""
    rejecter_fits: bool | None = None
    """The ICMP error came from the host, and with the code, that the rules name; None where they name none."""
    proven: bool = False
    """Target and vantage were both seen alive around this answer."""
    front: bool = False
    """A load balancer, node port or proxy answers in the target's place."""
    settled: bool = True
    """The rules stood long enough to be programmed everywhere."""
    twice: bool = False
    """The same answer came twice, at least five seconds apart."""
    blackhole: bool = False
    """The route that the rules name swallows packets without a word."""


class Comparison(NamedTuple):
    """One code, one sentence; a severity where it is a finding."""

    code: Code
    sentence: str
    severity: Severity | None = None


def seen_of(state: State, reason: Reason) -> Seen:
    """Reduce an answer to what bears on rules."""
    match state:
        case State.OPEN:
            return Seen.RESET if reason is Reason.RESET else Seen.OPEN
        case State.CLOSED:
            return Seen.REFUSED
        case State.FILTERED:
            return Seen.SILENCE if reason is Reason.NO_RESPONSE else Seen.REJECTED
        case State.OPEN_FILTERED:
            return Seen.SAYS_NOTHING
        case State.LOST | State.ERROR | State.UNTESTED:
            return Seen.NOTHING


def compare(expected: Expected, seen: Seen, given: Circumstances) -> Comparison:
    """Compare what the rules say with what was observed."""
    code, sentence = _compared(expected, seen, given)
    if code is Code.AGREES and not given.complete:
        code, sentence = Code.COMPATIBLE, f"{sentence}; not all layers were collected, so the rules are not confirmed"
    return Comparison(code, sentence, _severity(code, given))


def _severity(code: Code, given: Circumstances) -> Severity | None:
    severity = _SEVERITIES.get(code)
    if severity is None:
        return None
    steps = given.assumed + (severity is Severity.CRITICAL and not given.twice)
    return SEVERITIES[max(SEVERITIES.index(severity) - steps, 0)]


Answer = tuple[Code, str]


def _compared(expected: Expected, seen: Seen, given: Circumstances) -> Answer:
    if seen is Seen.NOTHING:
        return Code.NOT_COMPARED, "nothing was measured"
    if expected is Expected.NONE:
        return Code.NO_EVIDENCE, "no rules were collected on this way"
    if expected is Expected.UNKNOWN:
        return Code.RESOLVED, f"the rules could not decide; the answer was {_WORDS[seen]}"
    if seen is Seen.SAYS_NOTHING:
        return Code.COMPATIBLE, "silence over UDP says nothing of the rules"
    if seen is Seen.REFUSED and given.collapsed and expected not in _REFUSING:
        return Code.COMPATIBLE, "from this vantage a firewall's reject and a closed port look alike"
    match expected:
        case Expected.ALLOW:
            return _allowed(seen, given)
        case Expected.POLICY_DENY:
            return _denied_by_policy(seen, given)
        case Expected.DROP:
            return _dropped(seen, given)
        case Expected.REJECT_RESET:
            return _reset(seen)
        case Expected.REJECT_ICMP:
            return _rejected(seen, given)
        case Expected.LATE_REJECT:
            return _late(seen)
        case Expected.NO_ROUTE:
            return _no_route(seen, given)


_REFUSING = frozenset({Expected.REJECT_RESET, Expected.REJECT_ICMP})
"""What a reset or an ICMP reject would be, whichever it was."""
_WORDS = {
    Seen.OPEN: "open",
    Seen.RESET: "open, then reset",
    Seen.REFUSED: "a reset",
    Seen.REJECTED: "an ICMP error",
    Seen.SILENCE: "silence",
    Seen.SAYS_NOTHING: "silence over UDP",
    Seen.NOTHING: "none",
}


def _allowed(seen: Seen, given: Circumstances) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET if given.listener is False:
            return (
                Code.UNEXPECTED_LISTENER,
                "the rules allow it, and something answers where nothing was known to listen",
            )
        case Seen.OPEN | Seen.RESET:
            return Code.AGREES, "open, as the rules allow"
        case Seen.REFUSED if given.listener is True:
            return (
                Code.NOTHING_LISTENS,
                "the rules allow it, but nothing listens: a process is down or a targetPort wrong",
            )
        case Seen.REFUSED:
            return Code.AGREES, "the way is open, as the rules allow; nothing listens there"
        case Seen.REJECTED:
            return Code.REJECTED_ELSEWHERE, "the rules allow it, and a host whose rules were not collected rejects it"
        case _ if not given.proven:
            return Code.COMPATIBLE, "the rules allow it and nothing answers: whether the target lives is not proven"
        case _:
            return Code.BLOCKED_ELSEWHERE, _VANISHED


_VANISHED = (
    "the rules allow it and packets vanish: rules that were not collected, routing, the way back, or a full backlog"
)


def _denied_by_policy(seen: Seen, given: Circumstances) -> Answer:
    if seen in {Seen.OPEN, Seen.RESET, Seen.REFUSED} and not given.settled:
        return Code.COMPATIBLE, "the policy is young: it may not be programmed yet"
    match seen:
        case Seen.OPEN | Seen.RESET if given.front:
            return (
                Code.COMPATIBLE,
                "what answers is a load balancer, node port or proxy, not the pod that the policy is for",
            )
        case Seen.OPEN | Seen.RESET:
            return Code.NOT_ENFORCED, "the policy says deny, and the connection got through"
        case Seen.REFUSED if given.deny_style in {"reject", "icmp"}:
            return Code.AGREES, "refused, as this policy engine denies"
        case Seen.REFUSED if given.front:
            return Code.COMPATIBLE, "the reset may be the node's own, not the pod's"
        case Seen.REFUSED if given.deny_style == "drop":
            return Code.NOT_ENFORCED, "the policy says deny, and the reset came past it: the host was reached"
        case Seen.REFUSED:
            return (
                Code.COMPATIBLE,
                "the reset is the policy engine's or the host's: how this engine denies is not known",
            )
        case Seen.REJECTED if given.rejecter_fits or given.deny_style in {"reject", "icmp"}:
            return Code.AGREES, "rejected, as this policy engine denies"
        case Seen.REJECTED if given.rejecter_fits is False or given.deny_style == "drop":
            return Code.REJECTED_ELSEWHERE, "the policy says deny, and another host rejects it first"
        case Seen.REJECTED:
            return Code.COMPATIBLE, "denied; whether by the policy engine or another host is not known"
        case _ if given.deny_style in {"reject", "icmp"}:
            return (
                Code.COMPATIBLE,
                "silence where this engine rejects: ICMP errors are rationed, or another host drops first",
            )
        case _:
            return Code.AGREES, "silence, as the policy says"


def _dropped(seen: Seen, given: Circumstances) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET if given.front:
            return Code.COMPATIBLE, "what answers is a load balancer, node port or proxy before the rule"
        case Seen.OPEN | Seen.RESET:
            return Code.BYPASSED, "the rule drops it, and the connection got through: another way, or a stale snapshot"
        case Seen.REFUSED:
            return Code.BYPASSED, "the rule drops it, and the host answered all the same"
        case Seen.REJECTED:
            return Code.REJECTED_ELSEWHERE, "the rule drops it, and another host rejects it first"
        case _:
            return Code.AGREES, "silence, as the rule drops it"


def _reset(seen: Seen) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET:
            return Code.BYPASSED, "the rule resets it, and the connection got through"
        case Seen.REFUSED:
            return Code.AGREES, "a reset, as the rule sends; a closed port looks the same"
        case Seen.REJECTED:
            return Code.REJECTED_ELSEWHERE, "the rule resets it, and another host rejects it first"
        case _:
            return (
                Code.BLOCKED_ELSEWHERE,
                "the rule resets it, and no reset came back: lost, or dropped before the rule",
            )


def _rejected(seen: Seen, given: Circumstances) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET:
            return Code.BYPASSED, "the rule rejects it, and the connection got through"
        case Seen.REFUSED if given.collapsed:
            return Code.AGREES, "refused, as a reject looks from this vantage"
        case Seen.REFUSED:
            return Code.BYPASSED, "the rule rejects it, and a reset came from behind it"
        case Seen.REJECTED if given.rejecter_fits:
            return Code.AGREES, "rejected by the host and with the code that the rule names"
        case Seen.REJECTED if given.rejecter_fits is False:
            return Code.REJECTED_ELSEWHERE, "rejected, but by another host or with another code than the rule's"
        case Seen.REJECTED:
            return Code.COMPATIBLE, "rejected; by whom is not known"
        case _:
            return (
                Code.COMPATIBLE,
                "silence where the rule rejects: ICMP errors are rationed, or filtered on the way back",
            )


def _late(seen: Seen) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET:
            return Code.AGREES, "the handshake passes, as the rules say; what follows is refused"
        case Seen.REFUSED | Seen.REJECTED:
            return Code.REJECTED_ELSEWHERE, "the rules let the handshake pass, and it was refused"
        case _:
            return Code.BLOCKED_ELSEWHERE, "the rules let the handshake pass, and nothing came back"


def _no_route(seen: Seen, given: Circumstances) -> Answer:
    match seen:
        case Seen.OPEN | Seen.RESET | Seen.REFUSED:
            return (
                Code.BYPASSED,
                "no route leads there by the collected tables, and it answered: another way or a stale table",
            )
        case Seen.REJECTED if given.rejecter_fits is False:
            return Code.REJECTED_ELSEWHERE, "unreachable, but said by another host than the one without a route"
        case Seen.REJECTED:
            return Code.AGREES, "unreachable, as the routes say"
        case _ if given.blackhole:
            return Code.AGREES, "silence, as the blackhole route swallows it"
        case _:
            return Code.COMPATIBLE, "silence where a host without a route would tell: its errors may be rationed"
