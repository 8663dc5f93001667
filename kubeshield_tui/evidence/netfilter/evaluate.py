"""Judge a connection by one host's rules: all its packets, all branches, merged into what can happen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter.connection import Question
from kubeshield_tui.evidence.netfilter.flow import Flow
from kubeshield_tui.evidence.netfilter.forks import Fork, Forks, Leaf, every_way, simplest
from kubeshield_tui.evidence.netfilter.journey import Journey
from kubeshield_tui.evidence.netfilter.nat import end_text, nat_text
from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.program import Program
from kubeshield_tui.evidence.netfilter.result import LEGS, Assumption, Decider, NearMiss, Outcome, Result, Step
from kubeshield_tui.evidence.netfilter.routing import Host, Routing
from kubeshield_tui.evidence.netfilter.ruleset import Doubt, Reject, Rule, Ruleset, Unsure, Verdict
from kubeshield_tui.evidence.netfilter.shown import shown
from kubeshield_tui.evidence.netfilter.walk import Final, Mark, Miss, Walk
from kubeshield_tui.evidence.netfilter.ways import Ways
from kubeshield_tui.evidence.netfilter.words import WITH_PORTS

MISSES_LIMIT = 5
"""Near misses that are told of one outcome."""


class End(NamedTuple):
    """How one run ended."""

    final: Final
    leg: str
    nat: dict[str, str] | None
    marks: Sequence[Mark]
    misses: Sequence[Miss]

    @property
    def key(self) -> Hashable:
        """What makes two ends one outcome."""
        mark = self.final.mark
        rule = mark.effect if mark.rule is None else mark.rule.index
        nat = None if self.nat is None else tuple(sorted(self.nat.items()))
        return (*self.verdict, id(mark.table), mark.chain, rule, nat)

    @property
    def verdict(self) -> tuple[str, str | None, str]:
        """What is compared to tell whether the question is decided."""
        return self.final.kind, self.final.answer, self.leg


class Firewall:
    """Packet filter and routes of one host, ready to be asked. Without a host, routing is as the packet says."""

    def __init__(self, ruleset: Ruleset, host: Host | None = None) -> None:
        self.ruleset = ruleset
        self.routing = Routing(host or Host())
        self._program = Program(ruleset)

    def judge(self, packet: Packet, legs: Sequence[str] = LEGS, *, explain: bool = False) -> Result:
        """Return everything that can happen to a connection that begins with a packet.

        Never raises for what a ruleset says. `explain` looks for near misses, which takes longer.
        """
        leaves, is_all = self.branches(packet, legs, explain=explain)
        outcomes = _merged(leaves)
        doubts = [*self.ruleset.doubts]
        if packet.family not in self.ruleset.families:
            doubts.append(Unsure(kind=Doubt.MISSING, text=f"rules for {packet.family} were not collected"))
        if not self.routing.host.is_whole:
            doubts.append(Unsure(kind=Doubt.ROUTING, text="addresses or routes that were not understood"))
        if not is_all:
            doubts.append(Unsure(kind=Doubt.BRANCHES, text="more branches than are looked at"))
        if doubts:
            outcomes = _doubted(outcomes, doubts)
        decided = not doubts and len({leaf.end.verdict for leaf in leaves}) == 1
        return Result(decided=decided, outcomes=tuple(outcomes), notes=self.ruleset.notes)

    def branches(
        self, packet: Packet, legs: Sequence[str] = LEGS, *, explain: bool = False
    ) -> tuple[list[Leaf[End]], bool]:
        """Return every branch with its path, and whether these are all."""
        question = Question(packet, self.routing, legs)
        return every_way(lambda forks: self._run(question, forks, explain))

    def _run(self, question: Question, forks: Forks, explain: bool) -> End:
        flow = question.first()
        walk = Walk(self._program, self.routing, forks, explain=explain)
        ways = Ways(self.routing, question.packet)
        ways.came_by = flow.iif
        journey = Journey(walk, ways)
        accepted: Sequence[Final] = ()
        sent = flow
        for leg in question.legs:
            begins_here = question.packet.hook == "output"
            if leg == "syn-ack":
                begins_here = journey.is_delivered
                flow = question.answer(sent, journey.connection, begins_here=begins_here)
            elif leg == "ack":
                flow = question.first(leg)
            stopped = journey.take(flow, begins_here=begins_here) or _astray(question, sent, flow, walk)
            accepted = accepted or journey.accepted
            if stopped is not None:
                break
        else:
            stopped = _admitted(accepted)
            leg = question.legs[0]
        nat = nat_text(journey.connection or flow.connection, flow.family, flow.protocol in WITH_PORTS)
        return End(stopped, leg, nat, walk.marks, walk.misses or ())


def _astray(question: Question, sent: Flow, flow: Flow, walk: Walk) -> Final | None:
    """Return what keeps a packet from who waits for it: it was not translated as the first one was.

    An answer must come from where the first packet was sent to, and what follows must reach where that one went.
    """
    if flow is sent:
        return None
    first = question.first()
    due = (first.destination, first.source) if flow.leg == "syn-ack" else (sent.source, sent.destination)
    for what, end, wanted in (("comes from", flow.source, due[0]), ("goes to", flow.destination, due[1])):
        if not end.may_be(wanted):
            with_port = flow.protocol in WITH_PORTS
            texts = [end_text(each, flow.family, with_port) for each in (end, wanted)]
            return Final("drop", None, walk.note(f"not translated: it {what} {texts[0]}, {texts[1]} is waited for"))
    return None


def _admitted(accepted: Sequence[Final]) -> Final:
    """Return who let the first packet pass: a rule that says so, else the last policy that was met."""
    by_rule = [final for final in accepted if final.mark.rule is not None]
    if by_rule or accepted:
        return (by_rule or accepted)[-1]
    return Final("accept", None, Mark("syn", "", None, None, None, "no chain is at its hook"))


def _merged(leaves: Sequence[Leaf[End]]) -> list[Outcome]:
    groups: dict[Hashable, list[Leaf[End]]] = {}
    for leaf in leaves:
        groups.setdefault(leaf.end.key, []).append(leaf)
    outcomes = []
    for group in groups.values():
        number, forks = simplest([leaf.trail for leaf in group])
        outcomes.append(_outcome(group[number].end, forks))
    return outcomes


def _outcome(end: End, forks: Sequence[Fork]) -> Outcome:
    return Outcome(
        verdict=end.final.kind,
        answer=end.final.answer,
        leg=end.leg,
        decider=_decider(end.final.mark),
        nat=end.nat,
        assumptions=tuple(
            Assumption(kind=fork.kind, where=fork.where, text=fork.options[fork.taken]) for fork in forks
        ),
        trace=tuple(
            Step(leg=mark.leg, hook=mark.hook, decider=_decider(mark), effect=mark.effect) for mark in end.marks
        ),
        misses=tuple(
            NearMiss(leg=miss.mark.leg, decider=_decider(miss.mark), condition=shown(miss.failed), was=miss.was)
            for miss in _telling(end)
        ),
    )


def _telling(end: End) -> list[Miss]:
    """Return the near misses that would have turned the outcome: rules that drop where it passes, and the reverse."""
    refused = end.final.kind != "accept"
    return [
        miss
        for miss in end.misses
        if miss.mark.leg == end.leg and miss.mark.rule is not None and _turns(miss.mark.rule, refused)
    ][:MISSES_LIMIT]


def _turns(rule: Rule, refused: bool) -> bool:
    verdicts = {each.kind for each in rule.statements if isinstance(each, Verdict)}
    if refused:
        return "accept" in verdicts
    return "drop" in verdicts or any(isinstance(each, Reject) for each in rule.statements)


def _decider(mark: Mark) -> Decider:
    table, rule = mark.table, mark.rule
    return Decider(
        family=None if table is None else table.family,
        table=None if table is None else table.name,
        chain=mark.chain,
        index=None if rule is None else rule.index,
        handle=None if rule is None else rule.handle,
        text=mark.effect if rule is None else rule.text,
        counter=None if rule is None else rule.counter,
        origin="" if table is None else table.origin,
    )


def _doubted(outcomes: Sequence[Outcome], doubts: Sequence[Unsure]) -> list[Outcome]:
    """Add what else can happen where the rules are not all there; what they do say then rests on that too."""
    text = "; ".join(doubt.text for doubt in doubts)
    kind = doubts[0].kind

    def assumption(says: str) -> Assumption:
        return Assumption(kind=kind, where="ruleset", text=f"{text}: {says}")

    known = [
        Outcome(
            verdict=each.verdict, answer=each.answer, leg=each.leg, decider=each.decider, nat=each.nat,
            assumptions=(*each.assumptions, assumption("changes nothing")), trace=each.trace, misses=each.misses,
        )
        for each in outcomes
    ]  # fmt: skip
    nobody = Decider(family=None, table=None, chain=None, index=None, handle=None, text=text)
    there = {each.verdict for each in outcomes if each.verdict != "reject"}
    others = [
        Outcome(verdict=verdict, answer=None, leg="syn", decider=nobody, assumptions=(assumption(f"{verdict}s"),))
        for verdict in ("accept", "drop", "reject")
        if verdict not in there
    ]
    return [*known, *others]
