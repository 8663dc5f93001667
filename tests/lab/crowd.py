"""Many listeners of a few kinds, one process: `python crowd.py` reads [[host, port, kind], ...] as one line of JSON.

Prints `ready` when all listen.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import struct
import sys
import time

NTP_EPOCH = 2208988800  # seconds from 1900 to 1970, RFC 5905 section 6


def hang_up(writer: asyncio.StreamWriter) -> None:
    """End with a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(1024):
            pass
    except OSError:
        pass
    writer.close()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    hang_up(writer)


async def reset_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.read(1)
    except OSError:
        pass
    hang_up(writer)


class Dns(asyncio.DatagramProtocol):
    """Refuses every question, as a server does that is not meant for the asker (RFC 1035 section 4.1.1)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if len(data) >= 12 and not data[2] & 0x80:
            self.transport.sendto(data[:2] + b"\x81\x05" + data[4:6] + bytes(6) + data[12:], address)


class Ntp(asyncio.DatagramProtocol):
    """Answers clients of versions 3 and 4 (RFC 5905 section 7.3)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if len(data) >= 48 and data[0] & 7 == 3:
            now = struct.pack("!II", int(time.time()) + NTP_EPOCH, 0)
            head = bytes([data[0] & 0x38 | 4, 2, data[2], 0xEC])
            self.transport.sendto(head + bytes(8) + b"LAB\0" + now + data[40:48] + now + now, address)


class Silent(asyncio.DatagramProtocol):
    """Listens and says nothing."""


STREAMS = {"open": accept, "resets": reset, "resets-hello": reset_hello}
DATAGRAMS = {"dns": Dns, "ntp": Ntp, "silent": Silent}


def fill(host: str, port: int) -> list[socket.socket]:
    """A listener whose backlog is full, with what fills it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    full = socket.create_server((host, port), family=family, backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket(family)
        filler.setblocking(False)
        filler.connect_ex((host, port))
        fillers.append(filler)
    return [full, *fillers]


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop, kept = asyncio.get_running_loop(), []
    for host, port, kind in json.loads(sys.stdin.readline()):
        if kind == "full":
            kept += fill(host, port)
        elif kind in STREAMS:
            kept.append(await asyncio.start_server(STREAMS[kind], host, port, backlog=4096))
        else:
            kept.append(await loop.create_datagram_endpoint(DATAGRAMS[kind], (host, port)))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
