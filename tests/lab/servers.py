"""Servers of the lab, one process in the server's namespace: `python servers.py FOLDER` prints `ready` when all listen.

Each port behaves in one way; FOLDER holds ca.pem and server.pem.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from pathlib import Path

OPEN, GREETS, RESETS, SILENT_TLS, TLS13, MUTUAL13, MUTUAL12, HTTP, GARBAGE, TARPIT, FULL, CLOSING = range(7001, 7013)
ANSWERS = {b"/ok": b"200 OK", b"/private": b"401 Unauthorized", b"/forbidden": b"403 Forbidden"}


async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(1024):
            pass
    except OSError:
        pass
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail \x1b]0;owned\x07 ready\r\n")
    await idle(reader, writer)


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"\x00\xff\x1b[31mnot http at all" * 20)
    await idle(reader, writer)


async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    try:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.2)
    except OSError:
        pass


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1]
            answer = ANSWERS.get(path, b"404 Not Found")
            writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 4\r\nX-Evil: \x1b[2J\r\n\r\nbody")
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


def mutual(context: ssl.SSLContext):
    """Demand a client certificate and let the alert out: asyncio's own server cuts before it is sent."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                connection.do_handshake()
                return
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                await writer.drain()
                if not (data := await reader.read(65536)):
                    return
                incoming.write(data)
            except ssl.SSLError:
                writer.write(outgoing.read())
                await writer.drain()
                writer.close()
                return

    return handle


def context(folder: Path, *, client: bool = False, most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "server.pem")
    if client:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(folder / "ca.pem")
    if most:
        made.maximum_version = most
    return made


async def main(folder: Path) -> None:
    async def serve(port: int, handler, tls: ssl.SSLContext | None = None) -> None:
        await asyncio.start_server(handler, None, port, ssl=tls, backlog=4096)

    await serve(OPEN, idle)
    await serve(GREETS, greet)
    await serve(RESETS, reset)
    await serve(CLOSING, close)
    await serve(TLS13, http, context(folder))
    await serve(MUTUAL13, mutual(context(folder, client=True)))
    await serve(MUTUAL12, mutual(context(folder, client=True, most=ssl.TLSVersion.TLSv1_2)))
    await serve(HTTP, http)
    await serve(SILENT_TLS, idle)
    await serve(GARBAGE, garbage)
    await serve(TARPIT, tarpit)
    full = socket.create_server(("0.0.0.0", FULL), backlog=0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", FULL))
        fillers.append(filler)
    print("ready", flush=True)
    await asyncio.Event().wait()
    full.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
