"""Whether the kernel did what evaluation says can happen: the outcome at both ends, and the path rule by rule."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from kubeshield_tui.evidence.netfilter.evaluate import End, Firewall
from kubeshield_tui.evidence.netfilter.result import Outcome
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from kubeshield_tui.evidence.netfilter.words import ICMP6_CODES, ICMP_CODES
from tests.lab.netfilter.cases import Case, Path

Idle = frozenset[tuple[str, int | None]]
"""Table and handle of rules."""
ROUTE_ERRORS = {
    "icmp-net-unreachable": {errno.ENETUNREACH},
    "icmp-host-unreachable": {errno.EHOSTUNREACH},
    "icmp-admin-prohibited": {errno.EACCES},
    "icmpv6-no-route": {errno.ENETUNREACH, errno.EHOSTUNREACH},
    "icmpv6-admin-prohibited": {errno.EACCES},
    None: {errno.EINVAL},
}
"""What connect() says at once where the router's own routes refuse; the last is a blackhole."""


ASTRAY = "not translated"
"""How evaluation begins to say that a packet comes from elsewhere or goes elsewhere than who waits for it."""


@dataclass
class Score:
    """Counts of a run, and the first disagreements in full."""

    cases: int = 0
    decided: int = 0
    traced: int = 0
    rulesets: int = 0
    wrong: list[str] = field(default_factory=list)
    """What the kernel did that was not predicted."""
    once: list[str] = field(default_factory=list)
    """What disagreed, and did not when it was tried again."""

    def said(self) -> str:
        share = 100 * self.decided / self.cases if self.cases else 0.0
        return (
            f"{self.cases} cases in {self.rulesets} rulesets, {len(self.wrong)} disagreements, "
            f"{len(self.once)} not seen again, {share:.2f} % decided, {self.traced} paths compared"
        )


def fits(outcome: Outcome, case: Case, *, answers_can_be_lost: bool) -> bool:
    """Whether what both ends saw is this outcome."""
    if case.packet.protocol.startswith("icmp"):
        return _echo_fits(outcome, case, answers_can_be_lost)
    stream = case.packet.protocol == "tcp"
    if outcome.verdict == "accept":
        return case.got_through and case.answered and case.error is None
    if outcome.leg == "syn":
        if case.got_through or case.answered:
            return False
        return _error_fits(outcome, case, answers_can_be_lost)
    if outcome.leg == "syn-ack":
        return not case.answered and case.error is None and case.got_through is not stream
    if case.got_through:
        return False
    # Over a link without delay the answer often arrives while connect() holds the socket, and is passed over then.
    resets = outcome.verdict == "reject" or outcome.decider.text.startswith(
        ASTRAY
    )  # whom it reaches knows no connection
    return case.answered or (resets and case.error is not None)


def _echo_fits(outcome: Outcome, case: Case, answers_can_be_lost: bool) -> bool:
    """The far end of an echo request is a kernel: whether it was reached shows in its answer alone."""
    if outcome.verdict == "accept":
        return case.answered
    if outcome.decider.text.startswith(ASTRAY):
        return True  # the socket takes an answer whoever it comes from, and none that goes elsewhere
    if case.answered:
        return False
    return outcome.leg == "syn-ack" or _error_fits(outcome, case, answers_can_be_lost)


def _error_fits(outcome: Outcome, case: Case, answers_can_be_lost: bool) -> bool:
    if outcome.decider.table is None and case.error is not None and case.error[0] == "errno":
        return case.error[1] in ROUTE_ERRORS[outcome.answer]
    if outcome.verdict == "drop":
        return case.error is None
    if case.error is None:
        return answers_can_be_lost or outcome.decider.table is None  # "no route" is rate-limited per asker
    if outcome.answer == "tcp-reset":
        return case.error == ("rst",)
    kind, _, name = (outcome.answer or "").partition("-")
    return case.error == (("icmp", 1, ICMP6_CODES[name]) if kind == "icmpv6" else ("icmp", 3, ICMP_CODES[name]))


def path_of(end: End) -> dict[str, Path]:
    """Return a predicted path in the kernel's terms, by leg."""
    paths: dict[str, Path] = {}
    for mark in end.marks:
        if mark.table is None:
            continue
        handle = None if mark.rule is None else mark.rule.handle
        paths.setdefault(mark.leg, []).append((mark.table.name, mark.chain or "", handle, _verdict(mark.effect)))
    return paths


def idle_rules(ruleset: Ruleset, *, of_all: bool) -> Idle:
    """Return the rules that draw, limit or ask routes: no question is asked where what they do matters to nobody.

    `of_all`: all rules, since without routes an address, too, can be unknown.
    """
    return frozenset(
        (table.name, rule.handle)
        for table in ruleset.tables
        for chain in table.chains.values()
        for rule in chain.rules
        if of_all or any(word in rule.text for word in ("limit ", "numgen ", "jhash ", "random ", "fib ", "addrtype "))
    )


def same_way(end: End, case: Case, idle: Idle) -> bool:
    """Whether a predicted path is the kernel's. What goes astray may have lost the port that tells it."""
    ours, theirs = without_idle(path_of(end), idle), without_idle(case.paths, idle)
    if end.final.mark.effect.startswith(ASTRAY):
        ours[end.leg] = ours.get(end.leg, [])[: len(theirs.get(end.leg, []))]
    return ours == theirs


def without_idle(paths: Mapping[str, Path], idle: Idle) -> dict[str, Path]:
    """Leave out that such a rule matched and the packet went on."""
    return {
        leg: [step for step in path if step[-1] != "continue" or (step[0], step[2]) not in idle]
        for leg, path in paths.items()
    }


def _verdict(effect: str) -> str:
    if effect.startswith("policy "):
        return effect.removeprefix("policy ")
    if effect.startswith("reject"):
        return "drop"
    return "accept" if effect.startswith(("dnat", "snat", "masquerade", "redirect")) else effect


def explain(case: Case, firewall: Firewall, outcomes: Sequence[Outcome]) -> str:
    """Return all that is needed to find out who is wrong."""
    ends, _ = firewall.branches(case.packet)
    lines = [f"{case.packet}", f"  seen: through={case.got_through} answered={case.answered} error={case.error}"]
    for outcome in outcomes:
        lines.append(
            f"  said: {outcome.verdict} {outcome.answer} {outcome.leg} by {outcome.decider.text} {outcome.nat}"
        )
    ours = path_of(ends[0].end)
    for leg in dict.fromkeys([*case.paths, *ours]):
        here, there = ours.get(leg, []), case.paths.get(leg, [])
        lines += [f"  kernel {leg}: {there}", f"  ours   {leg}: {here}"]
        at = next((at for at, pair in enumerate(zip_longest(here, there)) if pair[0] != pair[1]), None)
        if at is not None:
            lines.append(f"  differ at {at}: ours {_text(here, at, firewall)}, kernel's {_text(there, at, firewall)}")
    return "\n".join(lines)


def _text(path: Path, at: int, firewall: Firewall) -> str:
    if at >= len(path):
        return "nothing"
    table, chain, handle, verdict = path[at]
    for each in firewall.ruleset.tables:
        if each.name == table and chain in each.chains:
            base = each.chains[chain]
            texts = [rule.text for rule in base.rules if rule.handle == handle]
            return f"{table} {chain} [{base.type} {base.hook} {base.priority}] `{' '.join(texts)}` -> {verdict}"
    return str(path[at])
