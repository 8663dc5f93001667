"""Walk a base chain with one packet: rules in order, jumps and returns, effects as they come, forks where unknown."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter.elements import Value
from kubeshield_tui.evidence.netfilter.fields import doubt_about
from kubeshield_tui.evidence.netfilter.flow import Flow
from kubeshield_tui.evidence.netfilter.forks import Forks
from kubeshield_tui.evidence.netfilter.matching import ANY, holds, look_up, value
from kubeshield_tui.evidence.netfilter.nat import bind, bind_somewhere, rewrite
from kubeshield_tui.evidence.netfilter.program import Base, Program
from kubeshield_tui.evidence.netfilter.questions import Asked, question_about, question_of
from kubeshield_tui.evidence.netfilter.routing import Routing
from kubeshield_tui.evidence.netfilter.ruleset import (
    AnyOf,
    Assign,
    Chain,
    Constant,
    Doubt,
    Match,
    NamedSet,
    Notrack,
    Opaque,
    Reject,
    Rule,
    Statement,
    Table,
    Translate,
    Unsure,
    Update,
    Verdict,
    VerdictMap,
)
from kubeshield_tui.evidence.netfilter.shown import shown, type_of
from kubeshield_tui.evidence.netfilter.words import TCP, UNTRACKED

DEPTH_LIMIT = 16
"""Jumps within jumps; the kernel refuses more."""
MOVES_LIMIT = 20_000
"""Chains entered and returned to within one base chain."""
MISSED = Verdict(kind="missed")
"""What an effect returns where its rule does not match after all: a map without the key, another family."""
LASTING = frozenset({Doubt.FIELD, Doubt.LOCAL, Doubt.TIME, Doubt.ROUTING, Doubt.SET})
"""Kinds of questions that have one answer for all packets of a connection that go the same way."""
ICMPX = {
    "icmpx-no-route": ("icmp-net-unreachable", "icmpv6-no-route"),
    "icmpx-port-unreachable": ("icmp-port-unreachable", "icmpv6-port-unreachable"),
    "icmpx-host-unreachable": ("icmp-host-unreachable", "icmpv6-addr-unreachable"),
    "icmpx-admin-prohibited": ("icmp-admin-prohibited", "icmpv6-admin-prohibited"),
}


class Mark(NamedTuple):
    """One thing that happened, as the trace will show it. `rule` is None for a policy, a route or a translation."""

    leg: str
    hook: str
    table: Table | None
    chain: str | None
    rule: Rule | None
    effect: str


class Final(NamedTuple):
    """How a packet's way ends, or a base chain lets it go on: accept, drop or reject, and what decided."""

    kind: str
    answer: str | None
    mark: Mark


class Miss(NamedTuple):
    """A rule of which all conditions but one hold."""

    mark: Mark
    failed: Match
    was: str
    """What the packet has there."""


class Walk:
    """Walks base chains with the packet that is set; keeps marks, changed sets and answers over all legs."""

    flow: Flow
    """The packet; whoever takes it through sets it."""

    def __init__(self, program: Program, routing: Routing, forks: Forks, *, explain: bool) -> None:
        self.program = program
        self.routing = routing
        self.forks = forks
        self.sets: Mapping[str, NamedSet] = {}
        self.changed: dict[tuple[str, Value], object] = {}
        self._changes: dict[int, dict[tuple[str, Value], object]] = {}
        self.marks: list[Mark] = []
        self.misses: list[Miss] | None = [] if explain else None
        self._base = Base(Table(family="", name="", chains={}, sets={}), Chain(name=""))
        self._chain = ""
        self._rule: Rule | None = None
        self._behind: int
        """Place behind the rule of the last verdict, in its chain."""

    def choose(self, kind: Doubt, text: str, options: tuple[str, ...], *, same: Hashable = None) -> int:
        """Take one of several ways, for the rule that is looked at."""
        table, rule = self._base.table, self._rule
        place = f"{table.family} {table.name} {self._chain}" + ("" if rule is None else f" rule {rule.index + 1}")
        return self.forks.choose(kind, "routing" if kind is Doubt.ROUTING else place, options, same=same)

    def mark(self, effect: str) -> Mark:
        """Note what the rule that is looked at does."""
        made = Mark(self.flow.leg, self.flow.hook, self._base.table, self._chain, self._rule, effect)
        self.marks.append(made)
        return made

    def note(self, effect: str) -> Mark:
        """Note what routing does."""
        made = Mark(self.flow.leg, "routing", None, None, None, effect)
        self.marks.append(made)
        return made

    def base(self, base: Base) -> Final:
        """Walk a base chain to its end, with all chains that jumps and gotos lead to."""
        self._base, self.sets = base, base.table.sets
        self.changed = self._changes.setdefault(id(base.table), {})
        stack: list[tuple[Chain, int, frozenset[str]]] = []
        chain, start, entered = base.chain, 0, frozenset({base.chain.name})
        why = "more jumps than are followed"
        for _ in range(MOVES_LIMIT):
            self.forks.work += 1
            verdict = self._until_verdict(chain, start)
            if verdict is None or verdict.kind == "return":
                if not stack:
                    return self._policy(base)
                chain, start, entered = stack.pop()
                continue
            if verdict.kind not in {"jump", "goto"}:
                return Final(verdict.kind, verdict.target or None, self.marks[-1])
            if len(stack) >= DEPTH_LIMIT or verdict.target in entered:
                why = "jumps in circles or too deep"  # one question a packet: no kernel gave such a dump
                break
            if verdict.kind == "jump":
                stack.append((chain, self._behind, entered))
            chain, start, entered = base.table.chains[verdict.target], 0, entered | {verdict.target}
        verdict = self._opaque(Opaque(kind=Doubt.MISSING, text=why))
        return Final(verdict.kind, None, self.marks[-1]) if verdict is not None else self._policy(base)

    def _until_verdict(self, chain: Chain, start: int) -> Verdict | None:
        """Return the next verdict of a chain, of the rule that `_rule` then is; None at the chain's end."""
        self._chain, self._rule = chain.name, None
        while True:
            version = self.flow.version
            for at, rule in self.program.rules(chain, start, self.flow):
                self._rule, self._behind = rule, at + 1
                verdict = self._run(rule)
                if verdict is not None:
                    return verdict
                if self.flow.version != version:
                    start = at + 1
                    break
            else:
                return None

    def _policy(self, base: Base) -> Final:
        self._chain, self._rule = base.chain.name, None
        policy = "drop" if base.chain.policy == "drop" else "accept"
        return Final(policy, None, self.mark(f"policy {policy}"))

    def _run(self, rule: Rule) -> Verdict | None:
        """Run one rule; None where the walk goes on behind it."""
        trusted = 0
        for at, statement in enumerate(rule.statements):
            kind = type(statement)
            if kind is Match or kind is AnyOf:
                held = holds(statement, self)  # type: ignore[arg-type]
                if held is True:
                    continue
                if held is False:
                    if self.misses is not None:
                        self._near_miss(rule, at, self.misses)
                    return None
            elif kind is not Unsure:
                verdict = self._effect(statement)
                if verdict is MISSED:
                    return None
                if verdict is not None:
                    return verdict
                continue
            if at >= trusted:
                settled = self._settle(rule, at)
                if settled is None:
                    return None
                trusted = settled
        self.mark("continue")
        return None

    def _settle(self, rule: Rule, at: int) -> int | None:
        """Take a rule whose condition can't be known for matching or not: one question for all such conditions of it.

        Returns the place of the next effect: conditions up to there are then trusted. None: the rule does not match.
        No question where the answer makes no difference: nothing that matters follows, or a later condition fails.
        """
        questions: list[Asked] = []
        for place in range(at, len(rule.statements)):
            statement = rule.statements[place]
            if isinstance(statement, Match | AnyOf):
                held = holds(statement, self)
                if held is False:
                    return None
                if isinstance(held, Unsure):
                    questions.append(question_of(statement, held, rule))
            elif isinstance(statement, Unsure):
                questions.append(question_about(statement, rule))
            elif self._matters(statement):
                return place if self._assume(questions) else None
        return None

    def _assume(self, questions: list[Asked]) -> bool:
        """Take conditions that can't be known for true (all of them) or for not true."""
        text = " and ".join(f"not ({q.text})" if q.denied and len(questions) > 1 else q.text for q in questions)
        inverted = len(questions) == 1 and questions[0].denied
        kinds = [question.doubt.kind for question in questions]
        drawn = next((kind for kind in kinds if kind in {Doubt.RATE, Doubt.RANDOM}), None)
        yes, no = f"{text}: yes", f"{text}: no"
        if drawn is not None:
            if any(question.doubt.likely is False for question in questions):
                return self.choose(drawn, text, (no, yes)) == 1
            return (self.choose(drawn, text, (yes, no)) == 0) is not inverted
        leg = self.flow.leg
        if all(kind in LASTING for kind in kinds) and leg != "syn-ack":
            leg = "forth"
        same = (leg, self.flow.version, *(question.identity for question in questions))
        return (self.choose(kinds[0], text, (yes, no), same=same) == 0) is not inverted

    def _matters(self, statement: Statement) -> bool:
        """Whether a statement can make a difference: setting what nobody reads can't."""
        match statement:
            case Assign():
                routed = statement.field in ADDRESSES or (statement.field == "meta mark" and self.routing.reads_mark)
                return routed or self.program.reads_field(statement.field)
            case Update():
                return self.program.reads_set(statement.set)
            case Verdict():
                return statement.kind != "continue"
            case _:
                return True

    def _near_miss(self, rule: Rule, at: int, misses: list[Miss]) -> None:
        """Note a rule of which all that follows would have been met, had one condition held."""
        failed = rule.statements[at]
        if not isinstance(failed, Match):
            return
        rest = (other for other in rule.statements[at + 1 :] if isinstance(other, Match | AnyOf))
        if all(holds(other, self) is not False for other in rest):
            mark = Mark(self.flow.leg, self.flow.hook, self._base.table, self._chain, rule, "near miss")
            held = value(failed.left, self)
            was = "nothing of it" if held is None else shown(held, type_of(failed.left))
            misses.append(Miss(mark, failed, was))

    def _effect(self, statement: Statement) -> Verdict | None:
        """Do what a rule does; returns a verdict, None where the rule goes on, MISSED where it does not match."""
        match statement:
            case Verdict():
                return self._verdict(statement)
            case VerdictMap():
                found = look_up(statement.key, statement.data, self)
                if found is None:
                    return MISSED
                return self._opaque_map(found) if isinstance(found, Unsure) else self._verdict(found)
            case Reject():
                return self._reject(statement)
            case Translate():
                done = bind(statement, self)
                if not done:
                    return MISSED if done is None else None
                self.mark(done)
                return Verdict(kind="drop" if done == "drop" else "accept")
            case Assign():
                return self._assign(statement)
            case Update():
                return self._update(statement)
            case Notrack():
                if self.flow.connection is None:
                    self.flow.state = UNTRACKED
                return None
            case Opaque():
                return self._opaque(statement)
            case _:
                return None

    def _verdict(self, verdict: Verdict) -> Verdict | None:
        if verdict.kind == "continue":
            return None
        if verdict.kind == "queue":
            return self._opaque(Opaque(kind=Doubt.USERSPACE, text="queue", effects=("accept", "drop")))
        self.mark(shown(verdict))
        if verdict.target and verdict.target not in self._base.table.chains:
            missing = Opaque(kind=Doubt.MISSING, text=f"chain {verdict.target} is not in the dump")
            return self._opaque(missing) or (Verdict(kind="return") if verdict.kind == "goto" else None)
        return verdict

    def _reject(self, statement: Reject) -> Verdict:
        answer = statement.answer
        is_six = self.flow.family == "ip6"
        if answer in ICMPX:
            answer = ICMPX[answer][is_six]
        wrong_family = answer.startswith("icmp-" if is_six else "icmpv6-")
        if wrong_family or (answer == "tcp-reset" and self.flow.protocol != TCP):
            return MISSED
        if statement.presumes:
            self.choose(Doubt.MODULE, statement.presumes, (statement.presumes,), same=statement.presumes)
        self.mark(f"reject with {answer}" if answer else "reject")
        return Verdict(kind="reject", target=answer)

    def _assign(self, statement: Assign) -> Verdict | None:
        held = value(statement.value, self)
        if held is None:
            return MISSED if statement.breaks else None
        flow = self.flow
        number = held if isinstance(held, int | Unsure) else doubt_about(statement.field)
        if isinstance(held, Unsure):
            flow.version += 1
        if statement.field == "meta mark":
            flow.mark = number
        elif statement.field == "ct mark":
            if flow.connection is not None:  # the kernel passes over it where there is none
                flow.connection.mark = number
        elif not rewrite(statement.field, held, self):
            return MISSED
        return None

    def _update(self, statement: Update) -> Verdict | None:
        key = value(statement.key, self)
        if key is None:
            return MISSED
        data: object = True
        if statement.operation == "delete":
            data = None
        elif isinstance(statement.data, Verdict):
            data = statement.data
        elif statement.data is not None:
            held = value(statement.data, self)
            if held is None:
                return MISSED
            data = held if isinstance(held, Unsure) else Constant(value=held)
        self.changed[statement.set, ANY if isinstance(key, Unsure) else key] = data
        return None

    def _opaque_map(self, doubt: Unsure) -> Verdict | None:
        return self._opaque(Opaque(kind=doubt.kind, text=doubt.text))

    def _opaque(self, statement: Opaque) -> Verdict | None:
        """Take one of the effects that a statement may have."""
        effects = statement.effects
        if self._base.chain.type == "nat" and "continue" in effects and self.flow.connection is not None:
            effects = (*effects, "translate")
        options = tuple(f"{statement.text}: {effect}" for effect in effects)
        effect = effects[self.choose(statement.kind, statement.text, options)]
        if effect == "continue":
            return None
        self.mark(f"{effect} ({statement.text})")
        if effect != "translate":
            return Verdict(kind=effect)
        bind_somewhere(self, Unsure(kind=statement.kind, text=statement.text))
        return Verdict(kind="accept")


ADDRESSES = frozenset({"ip daddr", "ip6 daddr", "ip saddr", "ip6 saddr"}) | {
    f"{name} {end}" for name in ("th", "tcp", "udp", "sctp", "dccp", "udplite") for end in ("sport", "dport")
}
"""Fields that decide where a packet goes and who waits for it, whether or not a rule reads them by that name."""
