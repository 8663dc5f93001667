"""What network policies say of a cell, each as YAML with the lines that decide and those that nearly matched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.policy import Direction, ObjectKey
from kubeshield_tui.evidence.netpol.verdict import DirectionVerdict, Effect, PolicyEffect
from kubeshield_tui.model.cluster import PolicyRecord
from kubeshield_tui.session.flows import flow_of
from kubeshield_tui.ui.page.lines import INDENT, pair
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.page.yaml_places import places
from kubeshield_tui.ui.widgets.pager import LABEL, Line

IN_FULL = 4
"""Policies of a direction that are shown as YAML, those that decide first."""
LONG = 40
"""Lines of YAML from which on only what matters of it is shown."""
AROUND = 2
"""Lines around what matters."""
TOKENS = {
    Effect.ALLOW: "reachable",
    Effect.DENY: "blocked",
    Effect.PASS: "quiet",
    Effect.NONE: "quiet",
    Effect.UNKNOWN: "unproven",
}
SELECTING = ("podSelector", "subject", "policyTypes")
"""Where a policy says whom it is about: what decides where no rule of it matches."""


class Asked(NamedTuple):
    """A direction and the cluster whose policies were asked."""

    cluster: str
    direction: DirectionVerdict


def asked(view: CellView) -> tuple[Asked, ...]:
    """Egress of the vantage's pod and ingress of the target, as far as a known cluster's policies bear on them."""
    flow = flow_of(view.store, view.worlds, view.key, view.firewalls.ways().walk(view.key))
    if flow is None:
        return ()
    found = []
    arriving = flow.arriving_as[0]
    for cluster, question, number in ((flow.source_cluster, flow.leaving, 0), (flow.target_cluster, arriving, 1)):
        known = view.worlds.of(cluster)
        directions = evaluate(known.world, question).directions if known is not None else ()
        if directions:
            found.append(Asked(cluster, directions[number]))
    return tuple(found)


def policy_lines(view: CellView, told: Asked) -> Iterator[Line]:
    """One direction: why, what it hangs on, and each policy that selects the end in question."""
    direction, width = told.direction, view.width
    yield from pair("because", direction.because, "strong", width)
    for reason in direction.reasons:
        yield from pair("hangs on", reason.text, "unproven", width)
    ranked = sorted(direction.policies, key=_rank)
    records = _records(view, told.cluster, ranked)
    for number, effect in enumerate(ranked):
        yield from _policy(view, direction.direction, effect, records.get(effect.key), is_full=number < IN_FULL)


def _rank(effect: PolicyEffect) -> int:
    return 0 if effect.decides else 1 if effect.near_miss else 2


def _records(view: CellView, cluster: str, effects: Iterable[PolicyEffect]) -> dict[ObjectKey, PolicyRecord]:
    wanted = {effect.key for effect in effects}
    inventory = view.inventory(cluster)
    if inventory is None or not wanted:
        return {}
    found = {}
    for record in (*inventory.policies, *inventory.other_policies):
        key = ObjectKey(kind=record.kind, namespace=record.namespace, name=record.name)
        if key in wanted:
            found[key] = record
    return found


def _policy(
    view: CellView, direction: Direction, effect: PolicyEffect, record: PolicyRecord | None, *, is_full: bool
) -> Iterator[Line]:
    label = "decides" if effect.decides else "near miss" if effect.near_miss else "policy"
    where = f"   {effect.where.text}" if effect.where.text else ""
    rule = f" {effect.rule_text}" if effect.rule_text else ""
    words = f"{effect.key.text}{rule}: {_said(effect.effect)}{where}"
    yield from pair(label, words, "strong" if effect.decides else TOKENS[effect.effect], view.width)
    if why := effect.near_miss or effect.why:
        yield from pair("", why, "unproven" if effect.near_miss else "quiet", view.width)
    if record is not None and record.spec and (is_full or view.raw):
        yield from _yaml(view, direction, effect, record.spec)


def _said(effect: Effect) -> str:
    return "DENY" if effect is Effect.DENY else "does not match" if effect is Effect.NONE else str(effect)


def _yaml(view: CellView, direction: Direction, effect: PolicyEffect, spec: str) -> Iterator[Line]:
    """The spec, with a mark before each line that decides or nearly matched."""
    lines, known = spec.splitlines(), places(spec)
    deciding: set[int] = set()
    missed = set(known.get(effect.missed, ())) if effect.missed else set()
    if effect.rule is not None:
        deciding.update(known.get(f"{direction}[{effect.rule}]", ()))
    elif effect.effect is Effect.DENY:
        # It denies by selecting the pod; an empty list of rules is part of that.
        for place in (*SELECTING, direction.value):
            found = known.get(place, ())
            deciding.update(found if place in SELECTING or len(found) == 1 else ())
    shown = _shown(len(lines), deciding | missed, whole=view.raw or len(lines) <= LONG)
    yield _line(view, "spec:", " ", "quiet")
    last = -1
    for number in shown:
        if number > last + 1:
            yield _line(view, f"  ... {number - last - 1} more lines", " ", "quiet")
        last = number
        sign, token = " ", "quiet"
        if number in missed:
            sign, token = view.alphabet.nearly, "unproven"
        elif number in deciding:
            sign, token = view.alphabet.decides, "strong" if effect.decides else TOKENS[effect.effect]
        yield _line(view, f"  {lines[number]}", sign, token)
    if last + 1 < len(lines):
        yield _line(view, f"  ... {len(lines) - last - 1} more lines: W shows them", " ", "quiet")


def _shown(count: int, marked: set[int], *, whole: bool) -> list[int]:
    if whole:
        return list(range(count))
    near = {number + step for number in marked or {0} for step in range(-AROUND, AROUND + 1)}
    return sorted(number for number in near if 0 <= number < count)


def _line(view: CellView, text: str, sign: str, token: str) -> Line:
    return ((" " * INDENT, LABEL), (f"{sign} ", LABEL), (text, token))
