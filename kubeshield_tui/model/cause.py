"""What one change would put right: all findings that share a cause, as one line for people and for reports."""

from __future__ import annotations

from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId, VantageId
from kubeshield_tui.model.record import Record


class Reach(Record, frozen=True):
    """How far a cause reaches, in counts."""

    cells: int = 0
    endpoints: int = 0
    vantages: int = 0
    """Vantages of its cells; of a known hole all that reach the component."""
    namespaces: int = 0
    """Namespaces that the visiting pods are in; of objects those that they stand in."""


class Cause(Record, frozen=True):
    """Findings with one cause. `because`, `verify` and `remedy` are never empty."""

    id: FindingId
    """Derives from code, cluster and what is to be put right: which cells share it, and how many, changes nothing."""
    code: str
    severity: Severity
    """The worst of its findings'."""
    what: str
    """What is so, and for whom, without how often: `kubelet on 40 nodes open to pods of shop`."""
    count: str
    """How often, in words: `37 cells, 12 pods`; of one open cell its vantage; empty where `what` says it all."""
    because: tuple[str, ...]
    verify: tuple[str, ...]
    """Commands or steps for the worst cell."""
    remedy: str
    endpoint: EndpointId = EndpointId("")
    """With `vantage` the worst cell; empty where it is about a cluster or an object."""
    vantage: VantageId = VantageId("")
    cluster: str = ""
    namespace: str = ""
    """Empty where it is about several, as `object` is."""
    object: str = ""
    component: str = ""
    reached_from: tuple[VantageId, ...] = ()
    """Of a known hole: every vantage that reaches the component now, the worst zone first."""
    cells: tuple[CellKey, ...] = ()
    """All cells, the worst first. Of a known hole the worst cell alone."""
    objects: tuple[str, ...] = ()
    """Objects of the API, `namespace/Kind/name`, of its findings that are about no cell."""
    reach: Reach = Reach()
    since: float = 0.0
    """When the first of its findings that still stand was raised, seconds since the epoch."""

    @property
    def title(self) -> str:
        """All in one line."""
        return f"{self.what}: {self.count}" if self.count else self.what
