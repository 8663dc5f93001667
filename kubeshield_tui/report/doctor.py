"""A diagnosis for people: one screen of 80 columns, each thing with glyph and word, what is broken with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from kubeshield_tui.session.doctor.check import Check, Diagnosis, Health

WIDTH = 80
AREA = 11
GLYPHS = {
    Health.OK: "●",
    Health.LIMITED: "▲",
    Health.BROKEN: "✖",
    Health.UNKNOWN: "?",
    Health.ABSENT: "·",
}
ASCII = {
    Health.OK: "o",
    Health.LIMITED: "!",
    Health.BROKEN: "X",
    Health.UNKNOWN: "?",
    Health.ABSENT: ".",
}


def doctor_text(diagnosis: Diagnosis, *, ascii_only: bool = False) -> str:
    """Print a diagnosis; ends in a line feed."""
    glyphs = ASCII if ascii_only else GLYPHS
    lines = [f"KubeShield {diagnosis.version}: {_summary(diagnosis)}"]
    for check in _joined(diagnosis.checks):
        head = f"{glyphs[check.health]} {check.health:<8}{check.area:<{AREA}}"
        said = f"{check.subject}: {check.said}" if check.subject else check.said
        lines += wrap(said, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
        if check.hint:
            arrow = f"{' ' * (len(head) - 3)}{'->' if ascii_only else '→'} "
            lines += wrap(check.hint, WIDTH, initial_indent=arrow.rjust(len(head)), subsequent_indent=" " * len(head))
    return "\n".join(lines) + "\n"


def _summary(diagnosis: Diagnosis) -> str:
    counts = {health: sum(check.health is health for check in diagnosis.checks) for health in Health}
    told = ", ".join(
        f"{counts[health]} {health}" for health in (Health.BROKEN, Health.LIMITED, Health.UNKNOWN) if counts[health]
    )
    return told or "all well"


def _joined(checks: tuple[Check, ...]) -> Iterator[Check]:
    """Neighbours of one area and subject that need nobody's eye, on one line."""
    held: Check | None = None
    for check in checks:
        is_quiet = check.health in {Health.OK, Health.ABSENT} and not check.hint
        same = held is not None and (held.area, held.subject, held.health) == (check.area, check.subject, check.health)
        if held is not None and same and is_quiet:
            held = Check(area=held.area, subject=held.subject, health=held.health, said=f"{held.said}; {check.said}")
            continue
        if held is not None:
            yield held
        held = check if is_quiet else None
        if held is None:
            yield check
    if held is not None:
        yield held
