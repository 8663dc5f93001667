"""The agent says the same on every Python that this machine has."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kubeshield_tui.discovery.catalogue import conversation_of
from kubeshield_tui.model.endpoint import Conversation, Protocol, Request, TlsMode
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Posture, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.local import ProcessChannel


def pythons() -> list[str]:
    """Interpreters of 3.6 and later: on the path, and those that pyenv keeps."""
    found = {str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python3")}
    found |= {path for minor in range(6, 20) if (path := shutil.which(f"python3.{minor}"))}
    works = []
    for path in sorted({sys.executable, *found}):
        asked = [path, "-c", "import sys, ssl; sys.exit(sys.version_info < (3, 6))"]
        if subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode == 0:
            works.append(path)
    return works


class Service(NamedTuple):
    port: int
    conversation: Conversation
    protocol: Protocol = Protocol.TCP


SAY = Conversation(requests=(Request(path="/a"), Request(path="/b")))
TOKEN, ETCD = conversation_of("aws-imds-token", 80), conversation_of("etcd", 2379)
SECURE = Conversation(tls=TlsMode.ON, requests=(Request(path="/a"), Request(path="/b")))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            break
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    writer.close()


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read()
    writer.close()


async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As Go's HTTP server without TLS does."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        if await reader.readexactly(1) == b"\x16":
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + b'{"etcdserver":"3.4.1"}')
    writer.close()


async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 1\r\nContent-Length: 6\r\n\r\nAQAEAO")
    writer.close()


async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-test\r\n")
    await reader.read()
    writer.close()


class Dns(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data[:2] + b"\x80\x05" + data[4:], address)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[dict[str, Service]]:
    authority = Authority("ca", tmp_path)
    context = authority.server("server", ("127.0.0.1",))
    found: dict[str, Service] = {}
    async with AsyncExitStack() as stack:
        for name, handler, conversation, secure in (
            ("http", answer, SAY, None),
            ("https", answer, SECURE, context),
            ("greets", greet, SECURE, None),
            ("plain", refuse, SECURE, None),
            ("etcd without TLS", both, ETCD, None),
            ("etcd with TLS", give, ETCD, context),
            ("token", give, TOKEN, None),
            ("hop limit", keep_silent, TOKEN, None),
        ):
            server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=secure)
            stack.callback(server.close)
            found[name] = Service(server.sockets[0].getsockname()[1], conversation)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0))
        stack.callback(transport.close)
        found["dns"] = Service(transport.get_extra_info("sockname")[1], Conversation(datagram="dns"), Protocol.UDP)
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):  # a full accept queue is silent
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        found["full"] = Service(full.getsockname()[1], Conversation())
        for name, kind, protocol in (
            ("closed", socket.SOCK_STREAM, Protocol.TCP),
            ("closed udp", socket.SOCK_DGRAM, Protocol.UDP),
        ):
            with socket.socket(socket.AF_INET, kind) as gone:
                gone.bind(("127.0.0.1", 0))
                found[name] = Service(gone.getsockname()[1], Conversation(), protocol)
        yield found


async def ask(python: str, services: dict[str, Service]) -> tuple[str, dict[str, Observation]]:
    process = await asyncio.create_subprocess_exec(
        python,
        "-I",
        "-S",
        *BOOTSTRAP[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    link = await AgentLink.start(ProcessChannel(process))
    try:
        seen = await asyncio.gather(
            *(
                link.ask(
                    Probe(
                        endpoint=EndpointId(name),
                        vantage=VantageId("local"),
                        host="127.0.0.1",
                        port=service.port,
                        protocol=service.protocol,
                        conversation=service.conversation,
                        timing=Timing(timeout=0.5, confirm=0.5),
                    )
                )
                for name, service in services.items()
            )
        )
    finally:
        await link.close()
    return link.facts.runner, dict(zip(services, seen, strict=True))


def said(seen: Observation) -> tuple[object, ...]:
    return (
        seen.state,
        seen.reason,
        seen.posture,
        [(attempt.state, attempt.reason) for attempt in seen.attempts],
        [(step.name, step.ok) for step in seen.steps],
        [(each.status, each.reason, each.headers, each.body) for each in seen.http],
        seen.tls and (seen.tls.alpn, seen.tls.client_certificate, seen.tls.certificate),
        seen.banner,
        seen.detail,
    )


async def test_every_python_says_the_same(services: dict[str, Service]) -> None:
    _, ours = await ask(sys.executable, services)
    assert {name: (seen.state, seen.reason, seen.posture) for name, seen in ours.items()} == {
        "http": (State.OPEN, Reason.SYN_ACK, Posture.AUTH_REQUIRED),
        "https": (State.OPEN, Reason.SYN_ACK, Posture.AUTH_REQUIRED),
        "greets": (State.OPEN, Reason.SYN_ACK, Posture.UNKNOWN),
        "plain": (State.OPEN, Reason.SYN_ACK, Posture.PLAIN),
        "etcd without TLS": (State.OPEN, Reason.SYN_ACK, Posture.ANONYMOUS),
        "etcd with TLS": (State.OPEN, Reason.SYN_ACK, Posture.TLS),
        "token": (State.OPEN, Reason.SYN_ACK, Posture.ANONYMOUS),
        "hop limit": (State.OPEN, Reason.SYN_ACK, Posture.UNKNOWN),
        "dns": (State.OPEN, Reason.UDP_RESPONSE, Posture.UNKNOWN),
        "full": (State.FILTERED, Reason.NO_RESPONSE, Posture.UNKNOWN),
        "closed": (State.CLOSED, Reason.CONN_REFUSED, Posture.UNKNOWN),
        "closed udp": (State.CLOSED, Reason.PORT_UNREACH, Posture.UNKNOWN),
    }
    assert ours["dns"].detail == "DNS: REFUSED"
    assert [(step.name, step.ok) for step in ours["etcd without TLS"].steps] == [
        ("connect", True), ("tls", False), ("connect", True), ("http", True),
    ]  # fmt: skip
    assert len(ours["etcd without TLS"].attempts) == 1
    assert ours["etcd without TLS"].identified == (("version", "3.4.1"),)
    runners = set()
    for python in pythons():
        runner, theirs = await ask(python, services)
        runners.add(runner)
        for name, seen in theirs.items():
            assert said(seen) == said(ours[name]), (runner, name)
    assert f"python {sys.version_info.major}.{sys.version_info.minor}" in runners
