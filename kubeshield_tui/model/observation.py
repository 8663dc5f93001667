"""What happened on the wire, in nmap's words. Source of states and reasons: nmap -sS/-sU --reason, measured."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.record import Record


class State(StrEnum):
    """State of a port as seen from a vantage."""

    OPEN = "open"
    CLOSED = "closed"
    FILTERED = "filtered"
    OPEN_FILTERED = "open|filtered"
    ERROR = "error"
    LOST = "lost"
    UNTESTED = "untested"


class Reason(StrEnum):
    """Why the state is what it is."""

    SYN_ACK = "syn-ack"
    CONN_REFUSED = "conn-refused"
    RESET = "reset"
    NO_RESPONSE = "no-response"
    PORT_UNREACH = "port-unreach"
    HOST_UNREACH = "host-unreach"
    NET_UNREACH = "net-unreach"
    PROTO_UNREACH = "proto-unreach"
    HOST_PROHIBITED = "host-prohibited"
    NET_PROHIBITED = "net-prohibited"
    ADMIN_PROHIBITED = "admin-prohibited"
    TIME_EXCEEDED = "time-exceeded"
    UDP_RESPONSE = "udp-response"
    NO_ROUTE = "no-route"
    PERMISSION = "permission"
    DNS_FAILURE = "dns-failure"
    FORWARDING_DENIED = "forwarding-denied"
    RESOURCES = "resources"
    TIME_LIMIT = "time-limit"
    VANTAGE_LOST = "vantage-lost"
    OUT_OF_SCOPE = "out-of-scope"


class Posture(StrEnum):
    """What the application asks of a stranger."""

    ANONYMOUS = "anonymous"
    AUTH_REQUIRED = "auth-required"
    FORBIDDEN = "forbidden"
    CLIENT_CERT_REQUIRED = "client-cert-required"
    TLS = "tls"
    PLAIN = "plain"
    UNKNOWN = "unknown"


class Step(Record, frozen=True):
    """One step of the conversation, timed at the vantage beside the system call."""

    name: str
    """`resolve`, `connect`, `banner`, `tls`, `http`."""
    ms: float
    ok: bool
    detail: str = ""


class Icmp(Record, frozen=True):
    """An ICMP or ICMPv6 error from the kernel's error queue."""

    type: int
    code: int
    source: str
    """Address of the hop that sent it: the one that rejects."""
    family: int = 4


class Certificate(Record, frozen=True):
    """What a server's certificate says. Text is foreign and printable."""

    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    not_before: str = ""
    not_after: str = ""
    sha256: str = ""


class TlsFacts(Record, frozen=True):
    """A TLS handshake as far as it came. `client_certificate`: `required`, `requested`, or empty if nobody asked."""

    version: str = ""
    cipher: str = ""
    alpn: str = ""
    client_certificate: str = ""
    alert: str = ""
    certificate: Certificate | None = None


class HttpExchange(Record, frozen=True):
    """One request and its answer, capped and printable."""

    method: str
    path: str
    status: int = 0
    """0 where no status line came back."""
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    ms: float = 0.0


class Attempt(Record, frozen=True):
    """One try, with the outcome that it would have had alone."""

    state: State
    reason: Reason
    ms: float


class Observation(Record, frozen=True):
    """The answer to a probe."""

    endpoint: EndpointId
    vantage: VantageId
    at: float
    """Seconds since the epoch, our clock, when the answer arrived."""
    state: State
    reason: Reason
    posture: Posture = Posture.UNKNOWN
    latency_ms: float | None = None
    """From the SYN to what answered it, in the attempt that decided."""
    attempts: tuple[Attempt, ...] = ()
    steps: tuple[Step, ...] = ()
    icmp: Icmp | None = None
    tls: TlsFacts | None = None
    http: tuple[HttpExchange, ...] = ()
    banner: str = ""
    source: str = ""
    """The vantage's own address on this connection."""
    peer: str = ""
    """Address that was connected to, where the target is a name."""
    detail: str = ""
    """One sentence for people."""
    identified: tuple[tuple[str, str], ...] = ()
    """What the answers tell of the server, (name, value): version, server, title, ..."""
    simulated: bool = False
    """The training range put this answer in: no packet decided it."""
    raw: str = ""
    """The agent's own line, printable and capped."""

    @property
    def key(self) -> CellKey:
        """The cell that this answers."""
        return CellKey(self.endpoint, self.vantage)

    @property
    def is_answer(self) -> bool:
        """Whether the target (or something on its behalf) answered or kept silent, as opposed to our own failure."""
        return self.state in {State.OPEN, State.CLOSED, State.FILTERED, State.OPEN_FILTERED}
