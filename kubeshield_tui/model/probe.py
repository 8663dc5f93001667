"""HOW it is asked: one probe of one endpoint from one vantage."""

from __future__ import annotations

from kubeshield_tui.model.endpoint import Conversation, Endpoint, Protocol
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.record import Record

DEFAULT_TIMEOUT = 1.5
"""Seconds for an attempt: past the first SYN retransmit at 1.0 s."""
CONFIRM_TIMEOUT = 3.5
"""Seconds for the confirming attempt: past an ARP failure (3.07 s) and a lost SYN."""
DEFAULT_ATTEMPTS = 2
"""Silence counts as `filtered` only when it was met twice."""
CONVERSATION_SECONDS = 3.0
"""What TLS and HTTP may take on top of the attempts: one total deadline ends a tarpit."""


class Timing(Record, frozen=True):
    """How long and how often a probe waits."""

    timeout: float = DEFAULT_TIMEOUT
    confirm: float = CONFIRM_TIMEOUT
    attempts: int = DEFAULT_ATTEMPTS

    @property
    def deadline(self) -> float:
        """Seconds after which a probe ends whatever happened."""
        return self.timeout + self.confirm * (self.attempts - 1) + CONVERSATION_SECONDS


class Probe(Record, frozen=True):
    """One question. `host` and `port` are what the vantage connects to."""

    endpoint: EndpointId
    vantage: VantageId
    host: str
    port: int
    protocol: Protocol = Protocol.TCP
    conversation: Conversation = Conversation()
    timing: Timing = Timing()

    @property
    def key(self) -> CellKey:
        """The cell that the answer belongs to."""
        return CellKey(self.endpoint, self.vantage)


def probe_of(endpoint: Endpoint, vantage: VantageId, timing: Timing) -> Probe:
    """Ask `endpoint` from `vantage`."""
    return Probe(
        endpoint=endpoint.id,
        vantage=vantage,
        host=endpoint.host,
        port=endpoint.port,
        protocol=endpoint.protocol,
        conversation=endpoint.conversation,
        timing=timing,
    )
