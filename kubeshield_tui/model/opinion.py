"""What was looked at once more on request: another program's opinion of a cell, and an endpoint's whole answer."""

from __future__ import annotations

from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import HttpExchange, Reason, State, TlsFacts
from kubeshield_tui.model.record import Record


class SecondOpinion(Record, frozen=True):
    """What nmap says of a cell."""

    endpoint: EndpointId
    vantage: VantageId
    at: float
    by: str
    """`nmap 7.93 -sS on jump`."""
    state: State
    reason: Reason
    agreement: str
    """How it compares with our own answer, as a sentence."""
    differs: bool = False
    error: str = ""
    """Why there is no opinion; state and reason mean nothing then."""

    @property
    def key(self) -> CellKey:
        """The cell that it is of."""
        return CellKey(self.endpoint, self.vantage)


class Inspection(Record, frozen=True):
    """A conversation with one endpoint, whole but capped. All text printable."""

    endpoint: EndpointId
    vantage: VantageId
    at: float
    through: str
    """`this machine`, `SSH forwarding by jump`; empty where nothing was asked."""
    exchanges: tuple[HttpExchange, ...] = ()
    tls: TlsFacts | None = None
    trust: str = ""
    """Whether this machine's authorities would trust the certificate, and why not."""
    error: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> CellKey:
        """The cell that it is of."""
        return CellKey(self.endpoint, self.vantage)
