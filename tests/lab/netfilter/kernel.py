"""Doors to the kernel of a network namespace: libnftables for rules, netlink for conntrack and the rule trace."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER = 12
SOL_NETLINK, ADD_MEMBERSHIP, NO_ENOBUFS = 270, 1, 5
TRACE_GROUP = 9
TRACE_MESSAGE = (10 << 8) | 17
"""NFT_MSG_TRACE of subsystem nftables."""
DELETE_CONNTRACK = (1 << 8) | 2
REQUEST, ACKNOWLEDGE = 1, 4
JSON = 1 << 4

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Be in a network namespace of `ip netns`: sockets made there stay there."""
    with open("/proc/thread-self/ns/net") as own, open(f"/var/run/netns/{name}") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Nft:
    """libnftables with its socket in one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._library = library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        with inside(namespace):
            self._context = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def load(self, text: str) -> str:
        """Load a ruleset in place of the one that is there; returns what nft says against it, empty where nothing."""
        return self._run(f"flush ruleset\n{text}", 0)[1]

    def add(self, text: str) -> None:
        """Do what nft is told, beside the rules that are there."""
        _, error = self._run(text, 0)
        assert not error, f"{error}\n{text}"

    def listing(self) -> str:
        """Return `nft -j list ruleset`."""
        out, error = self._run("list ruleset", JSON)
        assert not error, error
        return out

    def _run(self, command: str, flags: int) -> tuple[str, str]:
        library = self._library
        with inside(self._namespace):
            library.nft_ctx_output_set_flags(self._context, flags)
            failed = library.nft_run_cmd_from_buffer(self._context, command.encode())
            out = library.nft_ctx_get_output_buffer(self._context).decode()
            error = library.nft_ctx_get_error_buffer(self._context).decode()
        return out, error or "failed" if failed else ""

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)


class Seen(NamedTuple):
    """One event of a packet's way: a rule that matched (handle) or a policy (no handle)."""

    packet: int
    table: str
    chain: str
    handle: int | None
    verdict: str
    source_port: int | None
    destination_port: int | None
    flags: int | None
    protocol: int | None


VERDICTS = {0: "drop", 1: "accept", -1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return"}


class Trace:
    """The kernel's trace of packets that a rule marked with `meta nftrace set 1`."""

    def __init__(self, namespace: str) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, TRACE_GROUP)

    def read(self) -> tuple[list[Seen], bool]:
        """Return all events since the last reading, and whether none was lost."""
        events: list[Seen] = []
        whole = True
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                return events, whole
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                whole = False
                continue
            at = 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == TRACE_MESSAGE:
                    seen = _event(data[at + 20 : at + length])
                    if seen is not None:
                        events.append(seen)
                at += (length + 3) & ~3

    def close(self) -> None:
        self._socket.close()


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _event(data: bytes) -> Seen | None:
    found = dict(_attributes(data))
    kind = struct.unpack(">I", found[4])[0]
    policy, rule = kind == 1, kind == 3
    handle = struct.unpack(">Q", found[3])[0] if 3 in found else None
    if not policy and (not rule or handle is None):
        return None  # the end of a chain
    if policy:
        verdict = VERDICTS[struct.unpack(">i", found[16])[0]]
    else:
        inner = dict(_attributes(found[5]))
        code = struct.unpack(">i", inner[1])[0]
        verdict = VERDICTS[code]
        if 2 in inner:
            verdict = f"{verdict} {inner[2].rstrip(bytes(1)).decode()}"
    ports, flags, protocol = (None, None), None, None
    if 8 in found and 9 in found:
        network, transport = found[8], found[9]
        protocol = network[9] if network[0] >> 4 == 4 else network[6]
        if protocol in {6, 17}:
            ports = struct.unpack_from(">HH", transport)
            flags = transport[13] if protocol == 6 else None
        elif protocol in {1, 58} and len(transport) >= 8:
            number = struct.unpack_from(">H", transport, 4)[0]
            ports = {8: (number, 0), 128: (number, 0), 0: (0, number), 129: (0, number)}.get(transport[0], (0, 0))
    return Seen(
        packet=struct.unpack(">I", found[6])[0],
        table=found[1].rstrip(bytes(1)).decode(),
        chain=found[2].rstrip(bytes(1)).decode(),
        handle=handle,
        verdict=verdict,
        source_port=ports[0],
        destination_port=ports[1],
        flags=flags,
        protocol=protocol,
    )


class Conntrack:
    """Forgets all connections of a namespace: those of the last ruleset must not be `established` in the next."""

    def __init__(self, namespace: str) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))

    def flush(self) -> None:
        self._socket.send(struct.pack("=IHHIIBBH", 20, DELETE_CONNTRACK, REQUEST | ACKNOWLEDGE, 1, 0, 0, 0, 0))
        error = struct.unpack_from("=i", self._socket.recv(4096), 16)[0]
        assert error == 0, f"conntrack: {errno.errorcode.get(-error, error)}"

    def close(self) -> None:
        self._socket.close()
