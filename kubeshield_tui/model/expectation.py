"""What is declared: must this be reachable from there?"""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.record import Record


class Must(StrEnum):
    """What an endpoint must be from a vantage."""

    BLOCKED = "blocked"
    REACHABLE = "reachable"
    ANY = "any"


class Severity(StrEnum):
    """Severity of a finding, lowest first in `SEVERITIES`."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SEVERITIES = (Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class Waiver(Record, frozen=True):
    """Who answers for an exception, why it is there and for how long."""

    owner: str
    reason: str
    expires: str
    """Last day on which it holds (UTC), `2026-12-31`."""


class Expectation(Record, frozen=True):
    """What was declared for a cell and by which line."""

    must: Must = Must.ANY
    source: str = "nothing declared"
    """The line that decides: `baseline "..."`, `targets.txt:3`, `expect.toml:12 "only ops reaches the API"`."""
    severity: Severity = Severity.MEDIUM
    """Of a finding if it is not so."""
    severity_anonymous: Severity = Severity.CRITICAL
    """The same where moreover strangers are asked for nothing: what stood for reachable is then usable."""
    because: str = ""
    """Why it was declared, in the words of who did."""
    waiver: Waiver | None = None
    """Set where the deciding line is an exception."""
    undecided: tuple[str, ...] = ()
    """Lines that might have decided but for a fact that is not known, each with that fact. `must` is then the strictest
    of what they and the next line that surely matches say."""
    expired: tuple[str, ...] = ()
    """Exceptions for this cell that hold no longer."""


class LineKind(StrEnum):
    """Where a line stands: a later kind wins over an earlier one, inside a kind a later line over an earlier one."""

    BASELINE = "baseline"
    TARGETS = "targets"
    RULE = "rule"
    EXCEPTION = "exception"


class DeclaredLine(Record, frozen=True):
    """A line of the expectations and what it came to in this grid."""

    kind: LineKind
    where: str
    """`baseline`, `targets.txt`, `expect.toml:12`."""
    name: str
    must: str
    """`blocked`, `reachable`, `any`; for targets what each of them says."""
    matched: int = 0
    """Cells that it surely speaks of."""
    decided: int = 0
    """Cells in which no later line overruled it."""
    undecided: int = 0
    """Cells of which a fact is missing to tell whether it speaks of them."""
    waiver: Waiver | None = None
    notes: tuple[str, ...] = ()
    """What someone should look at: it matches nothing, is overruled everywhere, has expired."""

    @property
    def shown(self) -> str:
        """`expect.toml:12 "only ops reaches the API"`."""
        return f'{self.where} "{self.name}"'
