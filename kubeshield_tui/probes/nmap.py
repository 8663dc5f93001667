"""nmap: which arguments it gets, how its XML report reads. The only door to python-nmap, which finds and runs it here.

python-nmap's own reading of a report drops the port lists of `extraports`, the time of a host and whatever was written
before a cut, so the report is read here, as a stream and with every entity declaration refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from xml.parsers import expat

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

REPORT_LIMIT = 64 << 20
"""Bytes of a report: 200,000 ports take a quarter of it."""
PORTS_LIMIT = 300_000
DEPTH_LIMIT = 16
RUN_MARGIN = 30.0
"""Seconds that a run may take on top of what its probes may."""

STATES = {
    "open": State.OPEN,
    "closed": State.CLOSED,
    "filtered": State.FILTERED,
    "open|filtered": State.OPEN_FILTERED,
}
REASONS = {
    "syn-ack": Reason.SYN_ACK,
    "conn-refused": Reason.CONN_REFUSED,
    "reset": Reason.CONN_REFUSED,  # -sS: a RST to the SYN, which a connect() calls refused
    "udp-response": Reason.UDP_RESPONSE,
    "no-response": Reason.NO_RESPONSE,
    "port-unreach": Reason.PORT_UNREACH,
    "host-unreach": Reason.HOST_UNREACH,
    "net-unreach": Reason.NET_UNREACH,
    "no-route": Reason.NET_UNREACH,  # ICMPv6 1/0, told by a hop: the vantage's own lack of one is no answer in a report
    "reject-route": Reason.ADMIN_PROHIBITED,  # ICMPv6 1/6
    "proto-unreach": Reason.PROTO_UNREACH,
    "host-prohibited": Reason.HOST_PROHIBITED,
    "net-prohibited": Reason.NET_PROHIBITED,
    "admin-prohibited": Reason.ADMIN_PROHIBITED,
    "time-exceeded": Reason.TIME_EXCEEDED,
}
"""Words of `nmap --reason`. Source: nmap's portreasons.cc, checked against 7.93 on the wire."""


class NmapPort(NamedTuple):
    """One port of a report."""

    host: str
    port: int
    protocol: Protocol
    state: State
    reason: Reason
    detail: str
    """nmap's own words, printable."""
    at: float
    """Seconds since the epoch, nmap's clock."""


class NmapReport(Record, frozen=True):
    """What a report says."""

    version: str
    arguments: str
    started: float
    ports: tuple[NmapPort, ...]
    complete: bool
    """False where nmap was ended, or the file cut."""

    @property
    def single_attempt(self) -> bool:
        """Whether it was told to ask silent ports once only; nmap retries by itself otherwise."""
        return "--max-retries 0" in self.arguments

    @property
    def is_connect(self) -> bool:
        """Whether it used connect(), which loses the codes of ICMP errors."""
        return "-sT" in self.arguments.split()


def read_report(xml: bytes) -> NmapReport:
    """Read an XML report (`nmap -oX`); a cut one gives what stands before. Raises ProbeError for anything else."""
    if len(xml) > REPORT_LIMIT:
        raise ProbeError(f"an nmap report of more than {REPORT_LIMIT >> 20} MiB", "Scan fewer ports")
    reader = _Reader()
    whole = reader.read(xml)
    if reader.version is None:
        raise ProbeError(
            f"no nmap XML report: it begins with {printable(xml[:60], 60)!r}", "Make one with nmap -oX FILE"
        )
    return NmapReport(
        version=reader.version,
        arguments=reader.arguments,
        started=reader.started,
        ports=tuple(reader.ports),
        complete=whole and reader.finished,
    )


class _Reader:
    """Takes a report apart, element by element."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.arguments = ""
        self.started = 0.0
        self.finished = False
        self.ports: list[NmapPort] = []
        self._depth = 0
        self._host = ""
        self._at = 0.0
        self._port = 0
        self._protocol = Protocol.TCP
        self._extra: State | str = ""
        self._from = 0

    def read(self, xml: bytes) -> bool:
        """Return whether it was well-formed to its end."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = _refuse
        try:
            parser.Parse(xml, True)
        except (expat.ExpatError, ValueError):
            return False
        return True

    def _start(self, name: str, told: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise ValueError("nested too deep")
        if self.version is None and (name != "nmaprun" or self._depth > 1):
            raise ValueError("not a report of nmap")
        match name:
            case "nmaprun" if told.get("scanner") == "nmap":
                self.version = printable(told.get("version", ""), 20)
                self.arguments = printable(told.get("args", ""), 400)
                self.started = _number(told.get("start"))
            case "host":
                self._host, self._at, self._from = "", _number(told.get("endtime")) or self.started, len(self.ports)
            case "address" if told.get("addrtype") in {"ipv4", "ipv6"} and not self._host:
                self._host = _address(told.get("addr", ""))
            case "port":
                self._port = int(_number(told.get("portid")))
                self._protocol = Protocol.UDP if told.get("protocol") == "udp" else Protocol.TCP
                if told.get("protocol") not in {"tcp", "udp"}:
                    self._port = 0
            case "state" if self._port:
                self._add(self._port, self._protocol, told.get("state", ""), told.get("reason", ""), told)
                self._port = 0
            case "extraports":
                self._extra = told.get("state", "")
            case "extrareasons":
                self._extras(told)
            case "finished":
                self.finished = told.get("exit", "success") == "success"

    def _end(self, name: str) -> None:
        self._depth -= 1

    def _extras(self, told: dict[str, str]) -> None:
        """Ports that nmap lists in one line: they are there only where it was told which."""
        if told.get("proto") not in {"tcp", "udp"}:
            return
        protocol = Protocol(told["proto"])
        for part in told.get("ports", "").split(","):
            first, _, last = part.partition("-")
            if first.isdigit() and (last or first).isdigit():
                for port in range(int(first), min(int(last or first), 65535) + 1):
                    self._add(port, protocol, str(self._extra), told.get("reason", ""), {})

    def _add(self, port: int, protocol: Protocol, state: str, reason: str, told: dict[str, str]) -> None:
        if not self._host or not 0 < port < 65536:
            return
        if len(self.ports) >= PORTS_LIMIT:
            raise ValueError("too many ports")
        known = STATES.get(state, State.ERROR)
        why = REASONS.get(reason) or REASONS.get(reason.removesuffix("es")) or REASONS.get(reason.removesuffix("s"))
        by = f" from {told['reason_ip']}" if told.get("reason_ip") else ""
        self.ports.append(
            NmapPort(
                host=self._host,
                port=port,
                protocol=protocol,
                state=known if why is not None else State.ERROR,
                reason=why or Reason.RESOURCES,
                detail=printable(f"nmap: {state} ({reason}{by})", 120),
                at=self._at,
            )
        )


def _refuse(*_: object) -> None:
    raise ValueError("entities are not for reports")


def _number(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e11 else 0.0


def _address(text: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ip_address(text))
    return ""


def scan_arguments(
    hosts: Sequence[str], ports: Iterable[int], *, protocol: Protocol, timeout: float, attempts: int, raw: bool
) -> list[str]:
    """Arguments of a scan that only asks: no scripts, no version probes, no host discovery, no name look-ups.

    `hosts` are IP literals of one family, checked here: nmap reads `10.0.0.0/8`, `1-5` and `-oN` as more than a host.
    `raw` needs root there. Raises ProbeError.
    """
    addresses = []
    for host in hosts:
        try:
            addresses.append(ip_address(host))
        except ValueError:
            raise ProbeError(
                f"nmap is given addresses, not {printable(host, 60)!r}", "Resolve the name first"
            ) from None
    if len({address.version for address in addresses}) != 1:
        raise ProbeError("nmap is asked for one address family at a time", "Ask IPv4 and IPv6 apart")
    listed = sorted({int(port) for port in ports})
    if not listed or not 0 < listed[0] <= listed[-1] < 65536:
        raise ProbeError("ports are 1 to 65535", "Check the endpoint")
    kind = "-sU" if protocol is Protocol.UDP else "-sS" if raw else "-sT"
    patience = max(round(timeout * 1000), 100)
    return [
        kind, "-Pn", "-n", "--reason", "-oX", "-", "-p", ",".join(map(str, listed)),
        "--max-retries", str(max(attempts - 1, 0)), "--initial-rtt-timeout", f"{patience}ms",
        "--min-rtt-timeout", f"{patience}ms", "--max-rtt-timeout", f"{patience}ms",
        *(["-6"] if addresses[0].version == 6 else []),
        *[str(address) for address in addresses],
    ]  # fmt: skip


def scan_here(arguments: Sequence[str], *, timeout: float) -> NmapReport:
    """Run nmap on this machine; blocks. Raises ProbeError, also where it is not installed."""
    import nmap

    try:
        scanner = nmap.PortScanner()
    except nmap.PortScannerError as error:
        raise ProbeError(
            "nmap is not installed on this machine", "Install it, or ask from a host that has it"
        ) from error
    given = list(arguments)
    at = given.index("-oX")
    del given[at : at + 2]  # python-nmap says that itself
    try:
        scanner.scan(hosts="", arguments=" ".join(given), timeout=max(int(timeout), 1))
    except nmap.PortScannerTimeout as error:
        raise ProbeError(f"nmap was not done within {timeout:g} s", "Ask fewer ports at once") from error
    except nmap.PortScannerError as error:
        raise ProbeError(f"nmap: {printable(str(error), 200)}", "Run it by hand") from error
    return read_report(os.fsencode(scanner.get_nmap_last_output()))
