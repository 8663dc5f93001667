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


class Expectation(Record, frozen=True):
    """What was declared for a cell and by which line."""

    must: Must = Must.ANY
    source: str = "nothing declared"
    """The line that decides: `baseline: ...` or `targets.txt:3`."""
    severity: Severity = Severity.MEDIUM
    """Of a finding if it is not so."""
