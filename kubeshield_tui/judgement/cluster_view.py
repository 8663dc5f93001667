"""What is known of one cluster when its holes are weighed: what was read of it, and what each cell shows now."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kubeshield_tui.model.cluster import Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Verdict

LISTED = 12
"""Names that a sentence lists before it counts the rest."""


class Sight(NamedTuple):
    """What one cell shows."""

    verdict: Verdict | None = None
    """None where nothing was measured yet."""
    posture: Posture = Posture.UNKNOWN
    out_of_scope: bool = False
    """The address is another target from there."""


class ClusterView(NamedTuple):
    """One cluster."""

    inventory: Inventory
    denied: tuple[Denied, ...]
    """What could not be read of it."""
    endpoints: tuple[Endpoint, ...]
    """Its endpoints."""
    vantages: tuple[Vantage, ...]
    look: Callable[[CellKey], Sight]

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.inventory.cluster.id

    def was_read(self, kind: str) -> bool:
        """Whether a list was read, by its plural name: an empty one that was refused says nothing."""
        return not any(kind in denied.what for denied in self.denied)


def lower(severity: Severity, steps: int) -> Severity:
    """A severity some steps less severe."""
    return SEVERITIES[max(SEVERITIES.index(severity) - steps, 0)]


def listed(names: list[str]) -> str:
    """`a, b, c and 4 more`."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
