"""nmap's opinion and the whole conversation, for real: sockets, nmap, sshd, and servers that mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubeshield_tui.model.endpoint import Conversation, Request, TlsMode
from kubeshield_tui.model.event import EndpointFound, Event, Inspected, OpinionHeard, SessionStarted, VantageAdded
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.probes import inspect as inspecting
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.session.opinions import agreement, hear_opinions, inspect_cell
from kubeshield_tui.session.store import Store
from kubeshield_tui.vantages.ssh import SshVantage
from tests.contract.sshd import Estate, need_sshd
from tests.unit.estate import answer, endpoint, vantage

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _needs_nmap() -> None:
    if shutil.which("nmap") is None and os.environ.get("CI") != "true":
        pytest.skip("no nmap here")


def store_of(*ports: int, simulated: str = "", spec: str = "local", tls: bool = False, paths: tuple[str, ...] = ("/",)):
    store = Store()
    store.apply(SessionStarted(at=1, title="t", version="0", simulated=simulated))
    talk = Conversation(tls=TlsMode.ON if tls else TlsMode.OFF, requests=tuple(Request(path=path) for path in paths))
    keys = []
    source = vantage(spec)
    store.apply(VantageAdded(at=1, vantage=source))
    for port in ports:
        target = replace(endpoint(f"e{port}", host="127.0.0.1", port=port), conversation=talk)
        store.apply(EndpointFound(at=1, endpoint=target))
        keys.append(CellKey(target.id, source.id))
    return store, keys


async def heard(store: Store, keys: list[CellKey], points: dict | None = None) -> list[SecondOpinion]:
    def emit(event: Event) -> None:
        assert isinstance(event, OpinionHeard | Inspected)
        store.apply(event)

    await hear_opinions(store, points or {}, keys, emit)
    return [store.opinions[key] for key in keys]


@pytest.fixture
def places() -> Iterator[tuple[int, int]]:
    """A port that listens and one that does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield listening.getsockname()[1], bound.getsockname()[1]


async def test_nmap_here_agrees_with_what_is_so(places: tuple[int, int]) -> None:
    store, keys = store_of(*places)
    opened, closed = await heard(store, keys)
    assert (opened.state, opened.reason, opened.error) == (State.OPEN, Reason.SYN_ACK, "")
    assert (closed.state, closed.reason) == (State.CLOSED, Reason.CONN_REFUSED)
    assert opened.by.startswith("nmap ")
    assert opened.by.endswith(" on this machine")


async def test_nmap_over_ssh_and_where_it_is_not(places: tuple[int, int], tmp_path: Path) -> None:
    need_sshd()
    estate = Estate(tmp_path)
    try:
        estate.server("jump", f"SetEnv PATH={os.environ['PATH']}")
        empty = tmp_path / "programs"
        empty.mkdir()
        (empty / "python3").symlink_to(shutil.which("python3") or "")
        (empty / "sh").symlink_to("/bin/sh")
        estate.server("bare", f"SetEnv PATH={empty}")
        for host in ("jump", "bare"):
            store, keys = store_of(*places, spec=f"ssh:{host}")
            point = SshVantage(parse_vantage(f"ssh:{host}"), ssh_config=estate.config)
            try:
                opened, closed = await heard(store, keys, {keys[0].vantage: point})
            finally:
                await point.close()
            if host == "jump":
                assert (opened.state, closed.state) == (State.OPEN, State.CLOSED)
                assert opened.by.endswith(" on ssh:jump")
            else:
                assert opened.error
                assert closed.error
    finally:
        estate.stop()


async def test_what_nmap_is_not_asked_says_why(places: tuple[int, int]) -> None:
    for store, keys in (store_of(*places, simulated="everything"), store_of(*places, spec="script:x.json")):
        assert all(opinion.error and opinion.state is State.UNTESTED for opinion in await heard(store, keys))
    store, keys = store_of(places[0])
    name = endpoint("name", host="localhost", port=1)
    store.apply(EndpointFound(at=1, endpoint=name))
    (opinion,) = await heard(store, [CellKey(name.id, keys[0].vantage)])
    assert "name" in opinion.error


def seen(state: State, reason: Reason) -> Observation:
    key = CellKey(endpoint("e").id, vantage("local").id)
    return answer(key, 1, state, reason=reason)


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "differs", "says"),
    [
        ((State.OPEN, Reason.SYN_ACK), (State.OPEN, Reason.SYN_ACK), "-sT", False, "agrees"),
        ((State.OPEN, Reason.SYN_ACK), (State.FILTERED, Reason.NO_RESPONSE), "-sS", True, "DIFFERS"),
        ((State.FILTERED, Reason.PORT_UNREACH), (State.CLOSED, Reason.CONN_REFUSED), "-sT", False, "as far as -sT"),
        ((State.FILTERED, Reason.PORT_UNREACH), (State.CLOSED, Reason.CONN_REFUSED), "-sS", True, "DIFFERS"),
        ((State.FILTERED, Reason.NO_RESPONSE), (State.FILTERED, Reason.HOST_UNREACH), "-sT", False, "on the state"),
        ((State.LOST, Reason.VANTAGE_LOST), (State.OPEN, Reason.SYN_ACK), "-sT", False, "no answer of ours"),
    ],
)
def test_opinions_are_compared_as_far_as_each_can_see(ours, theirs, kind: str, differs: bool, says: str) -> None:
    sentence, really = agreement(seen(*ours), *theirs, kind)
    assert really is differs
    assert says in sentence


# --- inspect


@asynccontextmanager
async def serving(handler: Handler, secure=None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=secure)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def friendly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            body = f"you asked {path} \x1b]0;owned\x07".encode()
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/steal\r\nX-Evil: \x1b[2J\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def looked(port: int, *, tls: bool = False, paths: tuple[str, ...] = ("/a", "/b")) -> Inspection:
    store, (key,) = store_of(port, tls=tls, paths=paths)
    inspection = await inspect_cell(store, None, key)
    assert inspection is not None
    return inspection


def is_printable(inspection: Inspection) -> bool:
    texts = [inspection.error, inspection.trust]
    for each in inspection.exchanges:
        texts += [
            each.body.replace("\n", "").replace("\t", ""),
            each.reason,
            *(part for pair in each.headers for part in pair),
        ]
    return all(text.isprintable() for text in texts)


async def test_all_requests_are_shown_and_no_redirect_is_followed() -> None:
    async with serving(friendly) as port:
        inspection = await looked(port)
    assert inspection.error == ""
    assert [(each.path, each.status) for each in inspection.exchanges] == [("/a", 302), ("/b", 302)]
    assert dict(inspection.exchanges[0].headers)["Location"] == "http://127.0.0.1:1/steal"
    assert "you asked /a" in inspection.exchanges[0].body
    assert is_printable(inspection)


async def test_tls_is_read_and_its_trust_told(tmp_path: Path) -> None:
    context = Authority("our ca", tmp_path).server("server", ("127.0.0.1",))
    async with serving(friendly, context) as port:
        inspection = await looked(port, tls=True)
    assert inspection.error == ""
    assert inspection.tls is not None
    assert inspection.tls.version == "TLSv1.3"
    assert inspection.tls.certificate is not None
    assert inspection.trust == "issued by CN=our ca, which is no root of this machine"


async def test_the_stream_can_be_a_forwarding(tmp_path: Path) -> None:
    need_sshd()
    estate = Estate(tmp_path)
    try:
        estate.server("jump", "ForceCommand echo no")
        point = SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config)
        async with serving(friendly) as port:
            store, (key,) = store_of(port, spec="ssh:jump", paths=("/a",))
            inspection = await inspect_cell(store, point, key)
        await point.close()
    finally:
        estate.stop()
    assert inspection is not None
    assert (inspection.error, inspection.through) == ("", "SSH forwarding by ssh:jump")
    assert inspection.exchanges[0].status == 302


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"\x1b[31m" * 1000 + b"\r\n")
        await writer.drain()


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"\x1b" * 0x10000 + b"\r\n")
        await writer.drain()


async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x1b]0;owned\x07" * 100_000)
    await writer.drain()
    await reader.read()


async def wrong_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
    await writer.drain()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("handler", [endless_headers, endless_body, noise, wrong_length, drip])
async def test_bad_servers_end_in_time_capped_and_printable(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "DEADLINE", 1.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with asyncio.timeout(5), serving(handler) as port:
        inspection = await looked(port, paths=("/",))
    assert is_printable(inspection)
    if handler is endless_body:
        assert len(inspection.exchanges[0].body) <= inspecting.BODY_LIMIT
    else:
        assert inspection.error
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


async def test_nobody_there_is_a_sentence(places: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "DEADLINE", 1.5)
    inspection = await looked(places[1])
    assert "refused" in inspection.error.lower() or "connect" in inspection.error.lower()
    inspection = await looked(places[0], tls=True)
    assert inspection.error
