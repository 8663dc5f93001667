"""Real packets through the laboratory: what is sent, what came of it, and the kernel's path of each packet."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.packet import Packet
from tests.lab.netfilter.kernel import Seen, inside
from tests.lab.netfilter.world import CLIENTS, KINDS, PORTS, ROUTERS, SERVERS, VIRTUAL, World

QUIET, QUIET_ALONE = 0.06, 0.02
"""Seconds without any event after which nothing more is waited for, of many cases and of one."""
SYN, RST, PSH, ACK = 2, 4, 8, 16
FIRST_PORT, LAST_PORT = 20000, 60000
SO_MARK = 36
ECHO, ECHO6 = struct.pack(">BBHHH", 8, 0, 0, 0, 1), struct.pack(">BBHHH", 128, 0, 0, 0, 1)
MARKS = (1, 2, 4, 0x10, 0x4000)
ERROR_QUEUE = {"ip": (socket.IPPROTO_IP, 11), "ip6": (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR."""
Path = list[tuple[str, str, int | None, str]]
"""Table, chain, rule handle (None: policy) and verdict of each step."""


@dataclass
class Case:
    """One connection attempt and what came of it."""

    number: int
    where: str
    """Namespace that it begins in."""
    packet: Packet
    port: int
    """Source port, or identifier of an echo request: no other case has it."""
    got_through: bool = False
    """The far end has it: the connection accepted, the datagram received."""
    answered: bool = False
    """The near end knows it: connected, or a datagram came back."""
    error: tuple[str | int, ...] | None = None
    """(`icmp`, type, code), (`rst`,) or (`errno`, number)."""
    ends: tuple[str, str, int] | None = None
    """As the far end knows them: the address that it came from, and the address and port that it came to."""
    paths: dict[str, Path] = field(default_factory=dict)
    """By leg, as the kernel traced it."""


class Batch:
    """Sends many packets at once; source ports are unique, so that nothing can be mixed up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._port = FIRST_PORT
        self._poll = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in world.listeners}
        for number in self._listeners:
            self._poll.register(number, select.EPOLLIN)

    def make(self, random: Random, count: int) -> list[Case]:
        """Make cases of all kinds: forward, input, output, virtual addresses, the router itself."""
        return [self._case(random, number) for number in range(count)]

    def again(self, cases: Sequence[Case]) -> list[Case]:
        """Make the same cases once more, from ports of their own."""
        made = []
        for case in cases:
            port = self._next_port()
            packet = case.packet if case.packet.sport is None else replace(case.packet, sport=port)
            made.append(Case(number=case.number, where=case.where, packet=packet, port=port))
        return made

    def _next_port(self) -> int:
        self._port = FIRST_PORT if self._port >= LAST_PORT else self._port + 1
        return self._port

    def _case(self, random: Random, number: int) -> Case:
        family = random.choice(("ip", "ip", "ip6"))
        protocol = random.choices(("tcp", "udp", "icmp"), (60, 30, 10))[0]
        kind = random.choices(("forward", "input", "output", "virtual", "loop"), (38, 22, 20, 15, 5))[0]
        world = self.world
        port = self._next_port()
        where, iif, oif, hook = world.client, world.to_client, "", "input"
        source = random.choice(CLIENTS[family])
        target = {"forward": SERVERS, "input": ROUTERS, "output": SERVERS, "virtual": VIRTUAL, "loop": ROUTERS}[kind]
        if kind == "forward":
            hook, oif = "forward", world.to_server
        elif kind == "virtual":
            hook = "forward"
        elif kind in {"output", "loop"}:
            where, iif, hook = world.router, "", "output"
            source = ROUTERS[family][1] if kind == "output" else random.choice(ROUTERS[family])
            oif = world.to_server if kind == "output" else "lo"
        is_echo = protocol == "icmp"
        packet = Packet(
            family=family, protocol="icmpv6" if is_echo and family == "ip6" else protocol, src=source,
            dst=random.choice(target[family]), sport=None if is_echo else port,
            dport=None if is_echo else random.choice(PORTS), iif=iif, oif=oif, hook=hook,
            mark=random.choice((0, 0, *MARKS)) if hook == "output" else 0,
        )  # fmt: skip
        return Case(number=number, where=where, packet=packet, port=port)

    def run(self, cases: Sequence[Case], patience: int = 1) -> None:
        """Send all cases and note what comes of each; `patience` times longer than usual is waited for silence."""
        flying = _Flying(self._poll, self._listeners, cases)
        try:
            for where in dict.fromkeys(case.where for case in cases):
                with inside(where):
                    for case in cases:
                        if case.where == where:
                            flying.begin(case)
            flying.wait((QUIET if len(cases) > 1 else QUIET_ALONE) * patience)
        finally:
            flying.end()


class _Flying:
    """The sockets of a batch."""

    def __init__(self, poll: select.epoll, listeners: dict[int, socket.socket], cases: Sequence[Case]) -> None:
        self.poll = poll
        self.listeners = listeners
        self.near: dict[int, tuple[socket.socket, Case]] = {}
        self.far: list[socket.socket] = []
        self.by_port = {case.port: case for case in cases}
        """No rule changes source ports."""
        self.by_number = {case.number: case for case in cases}
        self.alone = cases[0] if len(cases) == 1 else None
        """Nobody else can have come, from whatever port."""

    def begin(self, case: Case) -> None:
        packet = case.packet
        stream = packet.protocol == "tcp"
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        echo = {"icmp": socket.IPPROTO_ICMP, "icmpv6": socket.IPPROTO_ICMPV6}.get(packet.protocol, 0)
        made = socket.socket(KINDS[packet.family], kind | socket.SOCK_NONBLOCK, echo)
        self.near[made.fileno()] = (made, case)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(*ERROR_QUEUE[packet.family], 1)
        if packet.mark:
            made.setsockopt(socket.SOL_SOCKET, SO_MARK, packet.mark)
        made.bind((packet.src, case.port))
        self.poll.register(made.fileno(), (select.EPOLLOUT if stream else select.EPOLLIN) | select.EPOLLERR)
        error = made.connect_ex((packet.dst, packet.dport or 0))
        if error not in {0, errno.EINPROGRESS}:
            case.error = ("errno", error)
        elif not stream:
            self._send(made, case)

    def _send(self, made: socket.socket, case: Case) -> None:
        try:
            request = {"icmp": ECHO, "icmpv6": ECHO6}.get(case.packet.protocol, b"")
            made.send(request + struct.pack(">I", case.number))
        except OSError as error:
            self._note_error(made, case, error.errno or 0)

    def wait(self, quiet: float) -> None:
        """Serve both ends until nothing happens for so many seconds."""
        while seen := self.poll.poll(quiet):
            for number, events in seen:
                if number in self.near:
                    self._near(*self.near[number], events)
                else:
                    self._listener(self.listeners[number])

    def _near(self, made: socket.socket, case: Case, events: int) -> None:
        if events & select.EPOLLERR:
            self._note_error(made, case, made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if case.packet.protocol != "tcp":
            with contextlib.suppress(OSError):
                made.recv(64)
                case.answered = True
                case.got_through = case.got_through or case.packet.protocol != "udp"
            return
        if events & select.EPOLLHUP and not case.answered:
            self.poll.unregister(made.fileno())
        elif not case.answered and not events & select.EPOLLERR:
            case.answered = True
            self.poll.modify(made.fileno(), select.EPOLLERR)

    def _note_error(self, made: socket.socket, case: Case, error: int) -> None:
        icmp = _error_queue(made)
        if icmp is not None:
            case.error = icmp
        elif error in {errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}:
            case.error = case.error or ("rst",)
        elif error and error != errno.EPERM:  # EPERM: our own output dropped it
            case.error = case.error or ("errno", error)

    def _listener(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if listener.type == socket.SOCK_STREAM:
                    accepted, peer = listener.accept()
                    self.far.append(accepted)
                    self._arrived(self.alone or self.by_port.get(peer[1]), listener, peer)
                else:
                    data, peer = listener.recvfrom(64)
                    number = struct.unpack(">I", data)[0] if len(data) == 4 else None
                    if self._arrived(self.by_number.get(number), listener, peer):
                        with contextlib.suppress(OSError):
                            listener.sendto(data, peer)

    def _arrived(self, case: Case | None, listener: socket.socket, peer: tuple[str, int]) -> bool:
        """Note who arrived; returns whether to answer: once, for an answer may be led to another listener."""
        if case is None or case.got_through:
            return False
        case.got_through = True
        case.ends = (peer[0], *listener.getsockname()[:2])
        return True

    def end(self) -> None:
        """Close everything with resets, so that nothing lingers into the next ruleset."""
        for made, _ in self.near.values():
            _abort(made)
        for accepted in self.far:
            _abort(accepted)


def _abort(made: socket.socket) -> None:
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()


def _error_queue(made: socket.socket) -> tuple[str | int, ...] | None:
    """Read the error queue; the last ICMP error in it."""
    found = None
    with contextlib.suppress(OSError):
        while True:
            _, ancillary, _, _ = made.recvmsg(64, 512, socket.MSG_ERRQUEUE)
            for _, _, data in ancillary:
                _, origin, kind, code = struct.unpack_from("=IBBB", data)
                if origin in {2, 3}:
                    found = ("icmp", kind, code)
    return found


def assign_paths(cases: Sequence[Case], events: Sequence[Seen]) -> None:
    """Give each case the kernel's path of its packets, the first of each kind."""
    by_port = {case.port: case for case in cases}
    now: dict[int, tuple[Case, str] | None] = {}
    done: set[tuple[int, str]] = set()
    for event in events:
        if event.source_port is not None:
            place = _leg(event, by_port)
            before = now.get(event.packet)
            if place is not None and place != before:
                if before is not None and (before[0].number, before[1]) != (place[0].number, place[1]):
                    done.add((before[0].number, before[1]))
                if (place[0].number, place[1]) in done:
                    place = None
            now[event.packet] = place
        current = now.get(event.packet)
        if current is not None:
            case, leg = current
            case.paths.setdefault(leg, []).append((event.table, event.chain, event.handle, event.verdict))


def _leg(event: Seen, by_port: dict[int, Case]) -> tuple[Case, str] | None:
    forth, back = by_port.get(event.source_port or 0), by_port.get(event.destination_port or 0)
    case = forth or back
    if case is None:
        return None
    if event.protocol != 6:
        return case, "syn" if forth else "syn-ack"
    flags = event.flags or 0
    leg = {SYN: "syn", SYN | ACK: "syn-ack", ACK: "ack"}.get(flags & (SYN | RST | PSH | ACK | 1))
    if leg is None or (leg == "syn-ack") == bool(forth):
        return None
    return case, leg
