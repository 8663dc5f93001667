"""What each line of the expectations comes to in a grid: unused, overruled everywhere, expired, not decidable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET

from kubeshield_tui.judgement.expectations import Expectations
from kubeshield_tui.judgement.lines import Line
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import DeclaredLine, LineKind
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.settings.expect_file import Placed
from kubeshield_tui.settings.expect_form import RuleForm


@dataclass(slots=True)
class _Tally:
    """Cells of one line."""

    sure: int = 0
    perhaps: int = 0
    decided: int = 0
    undecided: int = 0
    missing: str = ""
    """A fact for want of which it could not be decided."""
    winners: Counter[int] = field(default_factory=Counter)
    """By which lines it was overruled, and in how many cells."""


def review(
    expectations: Expectations, endpoints: Collection[Endpoint], vantages: Collection[Vantage]
) -> tuple[DeclaredLine, ...]:
    """Say of every line what it came to over a whole grid, cells that can't be asked included."""
    tallies = [_Tally() for _ in expectations.lines]
    for decision, cells, missing in expectations.over(endpoints, vantages):
        for number in decision.sure:
            tallies[number].sure += cells
            if decision.decider == number:
                tallies[number].decided += cells
            elif decision.decider is not None:
                tallies[number].winners[decision.decider] += cells
        for number in decision.perhaps:
            tallies[number].perhaps += cells
        for number, fact in zip(decision.undecided, missing, strict=True):
            tallies[number].undecided += cells
            tallies[number].missing = tallies[number].missing or fact
    return tuple(
        DeclaredLine(
            kind=line.kind,
            where=line.where,
            name=line.name,
            must="" if line.kind is LineKind.TARGETS else line.must,
            matched=tally.sure,
            decided=tally.decided,
            undecided=tally.undecided,
            waiver=line.waiver,
            notes=tuple(_notes(expectations, line, tally, bool(endpoints and vantages))),
        )
        for line, tally in zip(expectations.lines, tallies, strict=True)
    )


def never_decide(rules: Sequence[Placed[RuleForm]]) -> Iterator[str]:
    """Rules after which one comes that speaks of all that they do: told from the text alone, for any grid."""
    for number, rule in enumerate(rules):
        for later in rules[number + 1 :]:
            if _covers(later.form.to, rule.form.to) and _covers(later.form.source, rule.form.source):
                by = f'{later.where} "{printable(later.form.name)}"'
                name = printable(rule.form.name)
                yield f'{rule.where} "{name}": never decides: {by} speaks of all that it does and comes later'
                break


def _covers(wide: msgspec.Struct, narrow: msgspec.Struct) -> bool:
    return all(getattr(wide, key) in (UNSET, getattr(narrow, key)) for key in wide.__struct_fields__)


def _notes(expectations: Expectations, line: Line, tally: _Tally, has_cells: bool) -> Iterator[str]:
    if expectations.is_expired(line):
        owner, expires = (line.waiver.owner, line.waiver.expires) if line.waiver else ("", "")
        yield f"expired on {expires}: it holds no longer; {owner} renews or removes it"
        return
    is_users = line.kind in {LineKind.RULE, LineKind.EXCEPTION}
    if is_users and has_cells and not tally.sure and not tally.perhaps:
        yield "unused: it speaks of no endpoint and vantage of this run"
    if tally.undecided:
        yield f"not decidable for {tally.undecided} cells, held to the strictest: {tally.missing}"
    if tally.sure and not tally.decided:
        yield from _overruled(expectations.lines, line, tally)


def _overruled(lines: tuple[Line, ...], line: Line, tally: _Tally) -> Iterator[str]:
    """A line that decides nothing although it speaks of cells. What repeats or refines the baseline is no news."""
    by = ", ".join(lines[number].shown for number, _ in tally.winners.most_common(3))
    others = [lines[number] for number in tally.winners]
    same = all(other.must is line.must and LineKind.TARGETS not in {other.kind, line.kind} for other in others)
    if line.kind is LineKind.BASELINE and (same or all(other.kind is LineKind.BASELINE for other in others)):
        return
    what = "needless: later lines say the same of" if same else "overruled in"
    yield f"{what} all its {tally.sure} cells by {by}"
