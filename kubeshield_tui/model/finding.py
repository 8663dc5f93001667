"""What someone should act on."""

from __future__ import annotations

from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import EndpointId, FindingId, VantageId
from kubeshield_tui.model.record import Record


class Finding(Record, frozen=True):
    """One thing that is not as it must be. `because`, `verify` and `remedy` are never empty."""

    id: FindingId
    code: str
    """A verdict or disagreement: exposed, broken, not-enforced, ..."""
    severity: Severity
    title: str
    endpoint: EndpointId
    vantage: VantageId
    because: tuple[str, ...]
    verify: tuple[str, ...]
    """Commands or steps that let a person see it without this program."""
    remedy: str
