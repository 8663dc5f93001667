"""A firewall's verdict as lines that can be followed at three in the morning: one a decision, the decider marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.result import Decider, NearMiss, Outcome, Result, Step
from kubeshield_tui.evidence.netfilter.ruleset import Doubt

WORDS = {"accept": "ACCEPTED", "drop": "DROPPED", "reject": "REJECTED"}
LEGS = {"syn": "first packet", "syn-ack": "its answer", "ack": "what follows"}
DECIDES = "  <- decides"
TEXT_LIMIT = 160
"""Characters shown of a rule beside its place."""
PLACE_WIDTH = 44


def result_lines(packet: Packet, result: Result) -> list[str]:
    """Return the whole of a result."""
    lines = [f"{packet_text(packet)}   {_summary(result)}"]
    told: list[Outcome] = []
    for number, outcome in enumerate(result.outcomes, start=1):
        if len(result.outcomes) > 1:
            lines.append(f" {number} of {len(result.outcomes)}: {_verdict(outcome)}")
        lines += [f"   if {each.text}   ({each.where}, {each.kind})" for each in outcome.assumptions]
        if any(_is_like(outcome, before) for before in told):
            continue  # another backend of the same service, and the like
        told.append(outcome)
        lines += _path(outcome)
        lines += [_near_miss(miss) for miss in outcome.misses]
    lines += [f" not known: {note}" for note in result.notes]
    return lines


def packet_text(packet: Packet) -> str:
    """Return a packet in one line, as `tcp 192.0.2.1:5000 -> 198.51.100.1:22, forward, eth0 -> eth1`."""
    ends = []
    for name, port in ((packet.src, packet.sport), (packet.dst, packet.dport)):
        shown = f"[{name}]" if ":" in name and port is not None else name
        ends.append(shown if port is None else f"{shown}:{port}")
    devices = " -> ".join(filter(None, (packet.iif, packet.oif)))
    more = [packet.hook, devices, packet.ct_state and f"ct {packet.ct_state}", packet.mark and f"mark {packet.mark:#x}"]
    return ", ".join([f"{packet.protocol} {' -> '.join(ends)}", *(str(each) for each in more if each)])


def _is_like(outcome: Outcome, before: Outcome) -> bool:
    """Whether an outcome differs from one before only in what was drawn."""
    same = (outcome.verdict, outcome.answer, outcome.leg, outcome.decider)
    drawn = all(each.kind is Doubt.RANDOM or each in before.assumptions for each in outcome.assumptions)
    return drawn and same == (before.verdict, before.answer, before.leg, before.decider)


def _summary(result: Result) -> str:
    said = list(dict.fromkeys(_verdict(outcome, with_nat=False) for outcome in result.outcomes))
    if result.decided:
        ways = f", in {len(result.outcomes)} ways" if len(result.outcomes) > 1 else ""
        return said[0] + ways
    return f"UNKNOWN: {' or '.join(said)}"


def _verdict(outcome: Outcome, *, with_nat: bool = True) -> str:
    said = WORDS[outcome.verdict]
    if outcome.verdict == "reject":
        said += f" with {outcome.answer or 'an answer that is not known'}"
    if outcome.leg != "syn":
        said += f" ({LEGS[outcome.leg]})"
    if with_nat and outcome.nat:
        said += "".join(f", {kind} {to}" for kind, to in outcome.nat.items())
    return said


def _path(outcome: Outcome) -> Iterator[str]:
    """Yield the first packet's path and that of the packet that decides; others in one line each."""
    last = list(outcome.trace)
    marked = False
    for leg in dict.fromkeys(step.leg for step in last):
        steps = _without_detours([step for step in last if step.leg == leg])
        decides = leg == outcome.leg
        if not decides and leg != "syn":
            yield f"   {LEGS[leg]} passes: {_passes(steps)}"
            continue
        yield f"   {LEGS[leg]}:"
        at = _decider_at(steps, outcome.decider) if decides else -1
        for number, step in enumerate(steps):
            yield _step(step, decides=number == at)
        marked = marked or at >= 0
    if not marked:
        yield f"   {outcome.decider.text}{DECIDES}"


def _without_detours(steps: Sequence[Step]) -> list[Step]:
    """Leave out jumps into chains in which nothing came of it: firewalld's zones are dozens of those."""
    kept: list[Step] = []
    for step in reversed(steps):
        word, _, chain = step.effect.partition(" ")
        if word in {"jump", "goto"}:
            after = kept[-1].decider if kept else None
            entered = (step.decider.family, step.decider.table, chain)
            if after is None or (after.family, after.table, after.chain) != entered:
                continue
        kept.append(step)
    return kept[::-1]


def _decider_at(steps: Sequence[Step], decider: Decider) -> int:
    return max((number for number, step in enumerate(steps) if step.decider == decider), default=-1)


def _passes(steps: Iterable[Step]) -> str:
    accepted = [step for step in steps if step.hook in {"input", "forward", "output"} and "accept" in step.effect]
    rules = [step for step in accepted if step.decider.index is not None]
    if not accepted:
        return "no rule is in its way"
    step = (rules or accepted)[-1]
    return f"{place(step.decider)}: {_what(step)}"


def _step(step: Step, *, decides: bool) -> str:
    counter = step.decider.counter
    hits = f"   {counter[0]} hits" if counter is not None else ""
    where = place(step.decider)
    return f"     {step.hook:<12}{where:<{PLACE_WIDTH}} {_what(step)}{hits}{DECIDES if decides else ''}"


def _what(step: Step) -> str:
    """Return the rule, and what came of it where the rule does not say."""
    text = step.decider.text
    if len(text) > TEXT_LIMIT:
        text = f"{text[: TEXT_LIMIT - 1]}…"
    if step.decider.index is None:
        return step.effect
    says_it = text.endswith(step.effect) or (step.effect.startswith("reject") and "reject" in text.lower())
    return text if says_it or step.effect == "continue" else f"{text}  => {step.effect}"


def place(decider: Decider) -> str:
    """Return where a rule stands: `ip filter INPUT rule 3 (handle 12)`, counted from 1 as iptables does."""
    if decider.table is None:
        return ""
    words = f"{decider.family} {decider.table} {decider.chain}"
    if decider.index is None:
        return words
    handle = f" (handle {decider.handle})" if decider.handle is not None else ""
    return f"{words} rule {decider.index + 1}{handle}"


def _near_miss(miss: NearMiss) -> str:
    text = miss.decider.text if len(miss.decider.text) <= TEXT_LIMIT else f"{miss.decider.text[: TEXT_LIMIT - 1]}…"
    return f"   nearly: {place(miss.decider)}: {text}   but for {miss.condition}: here it is {miss.was}"
