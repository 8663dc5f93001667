"""What the words of small tools mean: strerror texts to states, and whose fault an unreachable network is. Pure.

Invariants: silence counts only if the wait was as long as asked; "unreachable" is an answer of the network only where
the vantage itself has a route; what can't be read is `error` with the text, never closed or filtered.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.record import Record

CUT_SHORT = 0.9
"""Share of the wait that must have passed before a tool's "timed out" is silence of the target."""
BROKEN_OFF = (124, 137, 143)
"""Exit statuses of a connect that was broken off: by timeout(1), by KILL, by TERM."""
ROUTES_LIMIT = 20_000
REJECTS = 0x200
"""RTF_REJECT in the flags of /proc/net/route and ipv6_route. Source: linux/route.h."""
NOWHERE = "*"
"""Interface of a route of type blackhole. Measured."""
BROADCAST = IPv4Address("255.255.255.255")
SILENT = ("timed out", "timeout")
TEXTS: tuple[tuple[tuple[str, ...], State, Reason], ...] = (
    (  # first: bash complains of the name and then of "Invalid argument"
        ("name or service not known", "name resolution", "bad address", "could not resolve",
         "forward host lookup failed", "name does not resolve", "no address associated", "nodename nor servname"),
        State.ERROR,
        Reason.DNS_FAILURE,
    ),
    (("connection refused",), State.CLOSED, Reason.CONN_REFUSED),
    (("connection reset by peer",), State.OPEN, Reason.RESET),
    (("no route to host", "host is unreachable", "host is down"), State.FILTERED, Reason.HOST_UNREACH),
    (("network is unreachable", "network unreachable"), State.FILTERED, Reason.NET_UNREACH),
    (("protocol not available",), State.FILTERED, Reason.PROTO_UNREACH),
    (("permission denied",), State.FILTERED, Reason.ADMIN_PROHIBITED),
    (("operation not permitted",), State.ERROR, Reason.PERMISSION),
    (("invalid argument", "address family not supported", "network is down"), State.ERROR, Reason.NO_ROUTE),
)  # fmt: skip
"""strerror and resolver texts of glibc, musl, busybox, ncat, in lower case; LC_ALL=C is set. Measured; the rest is
`error`, `resources` with its text."""

CANNOT_SEE = (
    "A reject by ICMP port-unreachable looks closed, as the port's own reset does",
    "The ICMP code and the hop that rejects are lost: prohibited reads host-unreach",
    "Unreachable is the network's answer where the main routing table has a route; policy routing is not read",
)


class Routes(Record, frozen=True):
    """The main routing tables of a vantage: (network, metric, whether it leads somewhere)."""

    entries: tuple[tuple[IPv4Network | IPv6Network, int, bool], ...] = ()
    readable: bool = False

    def leads_to(self, host: str) -> bool | None:
        """Whether there is a route to an address; None where the tables can't say."""
        with contextlib.suppress(ValueError):
            address: IPv4Address | IPv6Address = ip_address(host)
            if address.is_loopback or "%" in host:
                return True
            if address.is_multicast or address == BROADCAST:
                return False  # connect() refuses them at once
            if not self.readable:
                return None
            found = [entry for entry in self.entries if entry[0].version == address.version and address in entry[0]]
            if not found:
                return False
            return max(found, key=lambda entry: (entry[0].prefixlen, -entry[1]))[2]
        return None


def read_routes(text: bytes) -> Routes:
    """Read /proc/net/route and /proc/net/ipv6_route, one after the other. Never raises."""
    lines = text.decode("ascii", "replace").splitlines()
    if not lines or len(lines) > ROUTES_LIMIT:
        return Routes()
    entries = []
    try:
        for line in lines:
            words = line.split()
            if len(words) == 11 and words[0] != "Iface":
                network: IPv4Network | IPv6Network = ip_network(f"{_little(words[1])}/{_little(words[7])}")
                leads = words[0] != NOWHERE and not int(words[3], 16) & REJECTS
                entries.append((network, int(words[6]), leads))
            elif len(words) == 10:
                network = ip_network((bytes.fromhex(words[0]), int(words[1], 16)))
                entries.append((network, int(words[5], 16), not int(words[8], 16) & REJECTS))
    except ValueError:
        return Routes()
    return Routes(entries=tuple(entries), readable=True)


def _little(word: str) -> IPv4Address:
    return IPv4Address(bytes.fromhex(word)[::-1])


def read_connect(status: int, text: str, seconds: float, asked: float) -> tuple[State, Reason]:
    """Read how a connect ended that was given `asked` seconds and took `seconds`; routes are not yet considered."""
    lowered = text.lower()
    waited = seconds >= asked * CUT_SHORT
    if status == 0:
        return State.OPEN, Reason.SYN_ACK
    for phrases, state, reason in TEXTS:
        if any(phrase in lowered for phrase in phrases):
            return state, reason
    if waited and (any(phrase in lowered for phrase in SILENT) or (status in BROKEN_OFF and not lowered)):
        return State.FILTERED, Reason.NO_RESPONSE
    return State.ERROR, Reason.RESOURCES


def whose(state: State, reason: Reason, host: str, leads: bool | None) -> tuple[State, Reason]:
    """Say whether an "unreachable" is the network's answer or the vantage's own fault.

    Without a route of its own, or where that is not known, it is the vantage's: a false "blocked" would be worse.
    """
    if state is not State.FILTERED:
        return state, reason
    if reason in {Reason.HOST_UNREACH, Reason.NET_UNREACH}:
        return (state, reason) if leads else (State.ERROR, Reason.NO_ROUTE)
    if reason is Reason.ADMIN_PROHIBITED:
        # ICMPv6 1/1, 1/5 and 1/6 give EACCES; on IPv4 only a prohibit route or a security module does.
        return (state, reason) if leads and ":" in host else (State.ERROR, Reason.PERMISSION)
    return state, reason
