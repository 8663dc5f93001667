"""Forwarding over a real sshd: what it can tell it tells as the agent does, what it can't it says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.endpoint import Conversation, Protocol, Request, TlsMode
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.vantages import ssh_direct
from kubeshield_tui.vantages.local import LocalVantage
from kubeshield_tui.vantages.ssh import SshVantage
from tests.contract.sshd import Estate, free_port, need_sshd, probe

pytestmark = pytest.mark.sshd

TLS = Conversation(tls=TlsMode.ON)
TLS_HTTP = Conversation(tls=TlsMode.ON, requests=(Request(path="/a"), Request(method="HEAD", path="/b")))
EITHER = Conversation(tls=TlsMode.EITHER, requests=(Request(path="/a"), Request(path="/b")))
HTTP = Conversation(requests=(Request(path="/a"), Request(path="/b")))


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    need_sshd()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    estate = Estate(tmp_path)
    yield estate
    estate.stop()


@asynccontextmanager
async def opened(estate: Estate, spec: str) -> AsyncIterator[SshVantage]:
    point = SshVantage(parse_vantage(spec), ssh_config=estate.config)
    try:
        await point.open()
        yield point
    finally:
        await point.close()


def saying(port: int, conversation: Conversation) -> Probe:
    return Probe(
        endpoint=EndpointId(f"127.0.0.1:{port}/tcp"),
        vantage=VantageId("test"),
        host="127.0.0.1",
        port=port,
        conversation=conversation,
        timing=Timing(timeout=0.5, confirm=0.5),
    )


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = b"" if head.startswith(b"HEAD") else b"no\x1b["
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\nX: \x1b]0;\r\n\r\n" + body)
    writer.close()


async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """No TLS here, as Go's HTTP server says it."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        if await reader.readexactly(1) == b"\x16":
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        else:
            await answer(reader, writer)
    writer.close()


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """No TLS here, and without it not a word either."""
    if await reader.readexactly(1) == b"\x16":
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-\x1b[2Jtest\r\n")
    await reader.read()
    writer.close()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read(5)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    writer.transport.abort()


def essence(seen: Observation) -> tuple[object, ...]:
    return (
        seen.state,
        seen.posture,
        seen.banner,
        [(each.method, each.path, each.status, each.reason, each.headers, each.body) for each in seen.http],
        seen.tls,
        [(step.name, step.ok, step.detail) for step in seen.steps if step.name != "connect"],
    )


async def test_a_conversation_over_forwarding_says_what_the_agent_says(estate: Estate, tmp_path: Path) -> None:
    estate.server("jump")
    authority = Authority("ca", tmp_path)
    context = authority.server("server", ("127.0.0.1",))
    mutual = authority.server("mutual", ("127.0.0.1",), client_required=True)
    connections: set[asyncio.Task[None]] = set()

    def tracked(handler: Handler) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await handler(reader, writer)
            finally:
                writer.transport.abort()

        return handle

    servers = [
        await asyncio.start_server(tracked(handler), "127.0.0.1", 0, ssl=secure)
        for handler, secure in (
            (answer, None), (answer, context), (greet, None), (answer, mutual), (drip, None),
            (both, None), (once, None),
        )
    ]  # fmt: skip
    plain, secure, greets, asks, drips, either, gone = (each.sockets[0].getsockname()[1] for each in servers)
    probes = [
        saying(plain, HTTP),
        saying(plain, TLS),
        saying(secure, TLS_HTTP),
        saying(secure, TLS),
        saying(secure, HTTP),
        saying(greets, TLS_HTTP),
        saying(asks, TLS_HTTP),
        saying(asks, TLS),
        saying(plain, Conversation()),
        saying(either, EITHER),
        saying(secure, EITHER),
        saying(asks, EITHER),
        saying(gone, EITHER),
    ]
    local = LocalVantage(parse_vantage("local"))
    await local.open()
    async with opened(estate, "ssh:jump?via=direct") as direct:
        for each in probes:
            ours, theirs = await local.ask(each), await direct.ask(each)
            assert essence(theirs) == essence(ours), each
        slow = await direct.ask(saying(drips, HTTP))
        assert slow.state is State.OPEN  # a tarpit ends with the deadline, and what came of it is there
        assert slow.http[0].status == 0
    await local.close()
    for server in servers:
        server.close()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


async def test_states_are_those_that_sshd_met(estate: Estate) -> None:
    server = estate.server("jump", "MaxSessions 1")
    resets = await asyncio.start_server(reset, "127.0.0.1", 0)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        silent, gone = full.getsockname()[1], free_port()
        async with opened(estate, "ssh:jump?via=direct") as point:
            seen = await asyncio.gather(
                point.ask(probe("127.0.0.1", resets.sockets[0].getsockname()[1])),
                point.ask(probe("127.0.0.1", gone)),
                point.ask(probe("127.0.0.1", silent)),
                point.ask(probe("no-such-host.invalid", 80)),
                *(point.ask(probe("127.0.0.1", gone)) for _ in range(50)),
            )
    resets.close()
    assert server.logins == 1
    # sshd passes on that a connection ended, not how, unless the reset comes before it could say that it is open.
    assert (seen[0].state, len(seen[0].attempts)) == (State.OPEN, 1)
    assert seen[0].reason in {Reason.SYN_ACK, Reason.RESET}
    assert [(each.state, each.reason, len(each.attempts)) for each in seen[1:4]] == [
        (State.CLOSED, Reason.CONN_REFUSED, 1),
        (State.FILTERED, Reason.NO_RESPONSE, 2),
        (State.ERROR, Reason.DNS_FAILURE, 1),
    ]
    assert {(each.state, each.reason) for each in seen[4:]} == {(State.CLOSED, Reason.CONN_REFUSED)}


async def test_udp_is_not_forwarded_and_that_is_said(estate: Estate) -> None:
    estate.server("jump")
    async with opened(estate, "ssh:jump?via=direct") as point:
        asked = Probe(
            endpoint=EndpointId("u"), vantage=VantageId("v"), host="127.0.0.1", port=53, protocol=Protocol.UDP
        )
        seen = await point.ask(asked)
    assert (seen.state, seen.detail) == (State.ERROR, "SSH forwards TCP only")


@pytest.mark.parametrize("line", ["ForceCommand echo no", "MaxSessions 0"])
async def test_where_nothing_may_run_forwarding_asks(estate: Estate, line: str) -> None:
    estate.server("jump", line)
    point = SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config)
    facts = await point.open()
    assert facts.runner.startswith("ssh direct-tcpip: jump ")
    assert facts.cannot_see == ssh_direct.CANNOT_SEE
    assert (await point.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED
    await point.close()


async def test_what_sshd_forbids_is_the_vantages_fault(estate: Estate) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    estate.server("some", f"PermitOpen 127.0.0.1:{port}")
    estate.server("none", "AllowTcpForwarding no", "ForceCommand echo no")
    with listening:
        async with opened(estate, "ssh:some?via=direct") as point:
            assert (await point.ask(probe("127.0.0.1", port))).state is State.OPEN
            denied = await point.ask(probe("127.0.0.1", free_port()))
    assert (denied.state, denied.reason) == (State.ERROR, Reason.FORWARDING_DENIED)
    point = SshVantage(parse_vantage("ssh:none"), ssh_config=estate.config)
    with pytest.raises(VantageError, match=r"none .* forbids forwarding"):
        await point.open()
    await point.close()


async def test_a_debt_of_silence_is_left_behind_with_its_connection(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_direct, "DEBT", 10)
    server = estate.server("jump")
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        async with opened(estate, "ssh:jump?via=direct") as point:
            for _ in range(3):
                seen = await asyncio.gather(*(point.ask(probe("127.0.0.1", port)) for _ in range(12)))
                assert {(each.state, each.reason) for each in seen} == {(State.FILTERED, Reason.NO_RESPONSE)}
            assert server.logins > 2
            assert (await point.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED


async def test_a_port_that_opens_late_is_closed_at_once(estate: Estate) -> None:
    estate.server("jump")
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        full.setblocking(False)
        fillers = [stack.enter_context(socket.socket()) for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with opened(estate, "ssh:jump?via=direct") as point:
            seen = await point.ask(probe("127.0.0.1", full.getsockname()[1]))
            assert seen.state is State.FILTERED
            late = 0
            async with asyncio.timeout(15):
                while late < 1:  # room again: the connects that sshd still tries come through
                    connection, _ = await loop.sock_accept(full)
                    with connection:
                        if connection.getpeername() in {filler.getsockname() for filler in fillers}:
                            continue
                        connection.setblocking(False)
                        assert await loop.sock_recv(connection, 10) == b""
                        late += 1


async def test_a_killed_connection_is_lost_and_comes_back(estate: Estate) -> None:
    server = estate.server("jump")
    async with opened(estate, "ssh:jump?via=direct") as point:
        server.signal_sessions(signal.SIGKILL)
        lost = False
        for _ in range(50):
            try:
                await point.ask(probe("127.0.0.1", free_port()))
            except VantageLost:
                lost = True
                break
            await asyncio.sleep(0.1)
        assert lost
        await point.open()
        assert (await point.ask(probe("127.0.0.1", free_port()))).state is State.CLOSED
