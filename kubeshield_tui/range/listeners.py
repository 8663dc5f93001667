"""Listeners that behave: real sockets on loopback, one a behaviour, as the components would answer a stranger."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.range.servers import Server, servers

Address = tuple[str, int]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = "127.0.0.1"
FILLERS = 8
"""Connections that fill a backlog of nothing: from then on the kernel drops every SYN."""
IDLE_SECONDS = 60.0
TLS_RECORD = b"\x16"
"""First byte of a ClientHello. RFC 8446 section 5.1."""
SPECIAL = frozenset({"dns", "silent", "ssh", "tarpit"})
"""What no HTTP server does, beside the kinds of servers.toml."""


class Listeners:
    """All listeners of a range; `address` starts them as they are asked for."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._transports: list[asyncio.DatagramTransport] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, behaviour: str, name: str) -> Address:
        """Start a listener; `name` is put into its certificate."""
        known = servers().get(behaviour)
        if known is not None and known.client_certificate:
            return await self._serve(turn_away(self._authority.server(name, (), client_required=True)))
        if known is not None:
            secure = self._authority.server(name, (), organization=known.organization) if known.tls else None
            return await self._serve(http(known), secure)
        match behaviour:
            case "ssh":
                return await self._serve(greet(b"SSH-2.0-OpenSSH_9.6\r\n"))
            case "silent":
                return await self._serve(greet(b""))
            case "tarpit":
                return await self._serve(trickle)
            case "dns":
                return await self._serve_datagrams(RefusingDns)
        raise ValueError(f"no such behaviour: {behaviour}")

    def refuse(self) -> Address:
        """An address that answers with a reset: bound, so that nobody else gets it, and not listening."""
        taken = socket.socket()
        taken.bind((LOOPBACK, 0))
        self._sockets.append(taken)
        address: Address = taken.getsockname()
        return address

    def drop(self) -> Address:
        """An address that keeps silent: a listener whose backlog is full, so that the kernel drops SYNs.

        A datagram socket that nobody reads keeps the UDP port of that number as silent.
        """
        full, unread = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        full.bind((LOOPBACK, 0))
        full.listen(0)
        self._sockets += [full, unread]
        address: Address = full.getsockname()
        unread.bind(address)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            self._sockets.append(filler)
        return address

    async def close(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            transport.close()
        for each in self._sockets:
            each.close()

    async def _serve(self, handler: Handler, context: ssl.SSLContext | None = None) -> Address:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await handler(reader, writer)
            except asyncio.CancelledError:
                pass  # the range closes
            finally:
                self._tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(handle, LOOPBACK, 0, ssl=context, backlog=1024)
        self._servers.append(server)
        address: Address = server.sockets[0].getsockname()[:2]
        return address

    async def _serve_datagrams(self, make: Callable[[], asyncio.DatagramProtocol]) -> Address:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(make, local_addr=(LOOPBACK, 0))
        self._transports.append(transport)
        address: Address = transport.get_extra_info("sockname")[:2]
        return address


def http(server: Server) -> Handler:
    """A small HTTP/1.1 server with fixed answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first = await reader.readexactly(1)
            if first == TLS_RECORD:  # somebody speaks TLS to a server that speaks none: Go's says it so
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                await writer.drain()
                return
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, *_ = head.split("\r\n")[0].split(" ")
            answer = server.answer(method, path.partition("?")[0], head)
            if answer is None:
                await reader.read()
                return
            body = answer.body.encode()
            closing = server.closes or "connection: close" in head.lower()
            lines = [
                f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
                f"Content-Type: {answer.type}",
                f"Content-Length: {len(body)}",
                f"Connection: {'close' if closing else 'keep-alive'}",
                *(f"{name}: {value}" for name, value in answer.headers.items()),
            ]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (b"" if method == "HEAD" else body))
            await writer.drain()
            if closing:
                return

    return handle


class RefusingDns(asyncio.DatagramProtocol):
    """A DNS server that answers strangers with REFUSED."""

    def connection_made(self, transport: Any) -> None:
        """Keep what answers go through."""
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, address: Address) -> None:
        """Answer a question with its own id."""
        self._transport.sendto(data[:2] + b"\x80\x05" + data[4:], address)


def greet(banner: bytes) -> Handler:
    """A server that speaks first, or not at all."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await writer.drain()
        while await reader.read(1024):
            pass

    return handle


def turn_away(context: ssl.SSLContext) -> Handler:
    """A TLS server that demands a client certificate and says so with an alert, as etcd does.

    The handshake is done here: asyncio's own server cuts the connection before the alert is out.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                connection.do_handshake()
                return  # nobody holds a certificate of this range
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                await writer.drain()
                data = await reader.read(1 << 16)
                if not data:
                    return
                incoming.write(data)
            except ssl.SSLError:
                writer.write(outgoing.read())
                await writer.drain()
                return

    return handle


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A tarpit: takes the connection and one byte of an answer a second."""
    await reader.readuntil(b"\r\n\r\n")
    for byte in b"HTTP/1.1 200 OK\r\nServer: tarpit\r\n" * 9:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)
