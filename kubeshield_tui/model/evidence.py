"""WHY: raw evidence collected from hosts and shown in clusters, with what could not be had."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.record import Record


class SourceStatus(StrEnum):
    """Whether an item of evidence could be read. A missing one makes its layer unknown, never `accept`."""

    OK = "ok"
    DENIED = "denied"
    MISSING_TOOL = "missing-tool"
    ERROR = "error"


class Source(Record, frozen=True):
    """One item of evidence read of one host: a ruleset, routes, settings, listeners."""

    vantage: VantageId
    """The vantage that it was read over."""
    host: str
    item: str
    """What it is: `nft`, `iptables`, `routes`, ... as evidence/collect/script.py names them."""
    tool: str
    """The command as it ran: `nft -j list ruleset`, `sudo -n iptables-save -c`."""
    status: SourceStatus
    text: str = ""
    """Printable, lines kept; empty unless status is ok."""
    detail: str = ""
    """What the host said where it could not be read."""
    at: float = 0.0
    """Seconds since the epoch when it was read."""


class Support(StrEnum):
    """What counters say of a prediction."""

    SUPPORTS = "supports"
    REFUTES = "refutes"
    NOTHING = "says-nothing"
    """The rule does not count, counted less than was sent, or rules changed meanwhile."""


class RuleCount(Record, frozen=True):
    """A rule whose counter moved between two readings."""

    rule: str
    """`ip filter INPUT rule 3 (handle 27): -A INPUT -p tcp -j DROP`."""
    counted: int
    """Packets; others than ours may be among them."""
    on_path: bool = False
    """It stands on the way that was predicted."""


class HostWitness(Record, frozen=True):
    """What one host's counters and connections say of a probe."""

    host: str
    predicted: str
    """allow, deny or unknown."""
    decider: str
    counted: int | None = None
    """Packets that the predicted decider counted; None where it does not count."""
    support: Support = Support.NOTHING
    moved: tuple[RuleCount, ...] = ()
    fate: str = ""
    """What its connection table says: see Fate of evidence/netfilter/conntrack.py."""
    translated: tuple[str, str] = ("", "")
    """Where destination and source were really translated to."""
    sentence: str = ""


class Witness(Record, frozen=True):
    """A probe between two readings: which rule moved on which host, and where the connection died."""

    endpoint: EndpointId
    vantage: VantageId
    at: float
    sent: int = 0
    """Connections that were tried."""
    answer: str = ""
    """What the probe met: `filtered (no-response)`."""
    hosts: tuple[HostWitness, ...] = ()
    """In the order of the way."""
    sentence: str = ""
    error: str = ""
    """Why nothing was witnessed."""

    @property
    def key(self) -> CellKey:
        """The cell that this is about."""
        return CellKey(self.endpoint, self.vantage)


class SelfTest(Record, frozen=True):
    """What a deny-all policy did to two pods of our own."""

    cluster: str
    enforced: bool | None
    """None where nothing could be told: the pods did not reach each other without a policy either."""
    before: str
    """State and reason from pod to pod without a policy."""
    after: str
    """The same under the deny-all policy."""
    deny_style: str = ""
    lag: float | None = None
    """Seconds from the policy's creation until it held."""
    release: float | None = None
    """Seconds from its removal until the pods reached each other again."""
    nodes: tuple[str, str] = ("", "")
    """Where the asking and the asked pod ran."""
    at: float = 0.0
    detail: str = ""
