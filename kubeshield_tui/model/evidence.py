"""WHY: raw evidence collected from hosts and shown in clusters, with what could not be had."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.ids import VantageId
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
