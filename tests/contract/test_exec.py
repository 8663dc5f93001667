"""Exec over a websocket: against the range's API, and against servers that say no, say too much, or go away."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kubeshield_tui.cluster import exec as exec_module
from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.exec import ExecEnded, exec_in_pod
from kubeshield_tui.errors import ClusterError, VantageError, VantageLost
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.pod import ExecChannel

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
POD = "/api/v1/namespaces/shop/pods/web-6d4f9"


def probe(host: str, port: int, limit: float = 0.4) -> Probe:
    timing = Timing(timeout=limit, confirm=limit)
    return Probe(endpoint=EndpointId("e"), vantage=VantageId("v"), host=host, port=port, timing=timing)


def children() -> list[str]:
    """Processes that this one started."""
    return [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]


@pytest.fixture
async def training() -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as made:
        yield made


@pytest.fixture
async def client(training: TrainingRange) -> AsyncIterator[ClusterClient]:
    made = await connect("range", training.kubeconfig)
    yield made
    await made.close()


@asynccontextmanager
async def raw_exec(training: TrainingRange, command: str, **options: Any) -> AsyncIterator[Any]:
    """The range's exec as another client meets it."""
    config = json.loads(training.kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(
            f"{server}{POD}/exec?command={command}", ssl=ssl._create_unverified_context(), **options
        ) as ws,
    ):
        yield ws


# --- what the range offers any client


@pytest.mark.parametrize(
    ("offered", "chosen"), [((V5, V4), V5), ((V4, V5), V4), ((V5,), V5), ((V4,), V4), (("v3.channel.k8s.io", V4), V4)]
)
async def test_the_protocol_is_negotiated(training: TrainingRange, offered: tuple[str, ...], chosen: str) -> None:
    async with raw_exec(training, "cat", protocols=offered) as ws:
        assert ws.protocol == chosen
        await ws.send_bytes(b"\x00hello \x00\xff")
        assert (await ws.receive_bytes(timeout=5)) == b"\x01hello \x00\xff"


async def test_v5_half_closes_and_gets_its_status(training: TrainingRange) -> None:
    async with raw_exec(training, "cat", protocols=(V5,)) as ws:
        await ws.send_bytes(b"\x00last")
        await ws.send_bytes(b"\xff\x00")
        assert await ws.receive_bytes(timeout=5) == b"\x01last"
        status = await ws.receive_bytes(timeout=5)
        assert status[:1] == b"\x03"
        assert json.loads(status[1:])["status"] == "Success"
        assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_an_unknown_program_is_a_failure_on_the_status_channel(training: TrainingRange) -> None:
    async with raw_exec(training, "rm&command=-rf", protocols=(V4,)) as ws:
        status = await ws.receive_bytes(timeout=5)
        assert status[:1] == b"\x03"
        told = json.loads(status[1:])
        assert (told["status"], '"rm"' in told["message"]) == ("Failure", True)


async def test_exec_without_an_upgrade_is_no_websocket(training: TrainingRange, client: ClusterClient) -> None:
    with pytest.raises(ClusterError, match="upgrade to websocket"):
        await client.request("POST", f"{POD}/exec")


# --- our side of it, on the range


async def test_more_than_a_message_and_no_text_comes_back_whole(client: ClusterClient) -> None:
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", ["cat"])
    data = bytes(range(256)) * 1024  # several chunks
    assert len(data) > 2 * exec_module.CHUNK
    writing = asyncio.create_task(stream.write(data))
    echoed = b""
    async with asyncio.timeout(10):
        while len(echoed) < len(data):
            echoed += await stream.read()
        await writing
    assert echoed == data
    assert stream.complaint() == ""
    await stream.close()
    await stream.close()  # safe to call twice
    with pytest.raises(ExecEnded):
        await stream.write(b"late")


@pytest.mark.parametrize("offered", [f"{V5}, {V4}", V4])
async def test_an_agent_answers_through_either_protocol(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, offered: str
) -> None:
    monkeypatch.setattr(exec_module, "PROTOCOLS", offered)
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", BOOTSTRAP)
    link = await AgentLink.start(ExecChannel(stream))
    assert link.facts.runner.startswith("python 3")
    seen = await asyncio.gather(*(link.ask(probe("10.96.1.10", 80)) for _ in range(100)))
    assert {each.state for each in seen} == {State.OPEN}
    await link.close()


async def test_a_program_that_is_no_agent_is_a_vantage_error_that_names_it(client: ClusterClient) -> None:
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", ["no-such-python"])
    with pytest.raises(VantageError, match="no-such-python") as caught:
        await AgentLink.start(ExecChannel(stream))
    assert not isinstance(caught.value, VantageLost)
    assert "python3" in caught.value.hint


async def test_a_program_that_never_says_hello_has_a_limit(client: ClusterClient) -> None:
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", ["cat"])  # echoes the agent back at us
    with pytest.raises(VantageError, match="no agent came up within"):
        await AgentLink.start(ExecChannel(stream), limit=0.5)


async def test_when_the_connection_goes_all_probes_are_lost_and_none_is_filtered(
    training: TrainingRange, client: ClusterClient
) -> None:
    stream = await exec_in_pod(client, "shop", "web-6d4f9", "main", BOOTSTRAP)
    link = await AgentLink.start(ExecChannel(stream))
    waiting = [asyncio.create_task(link.ask(probe("10.9.9.9", port, 30))) for port in range(1, 21)]
    await link.ask(probe("10.96.1.10", 80))  # the agent has them all by now
    assert training._api is not None
    assert training._api._runner is not None
    assert training._api._runner.server is not None
    for connection in training._api._runner.server.connections:
        assert connection.transport is not None
        connection.transport.abort()
    async with asyncio.timeout(5):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        while children():  # and the agent goes with its connection
            await asyncio.sleep(0.01)
    assert {type(each) for each in ended} == {VantageLost}
    with pytest.raises(VantageLost):
        await link.ask(probe("10.96.1.10", 80))
    await link.close()


# --- servers that are none of ours

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(tmp_path: Path, execute: Handler) -> AsyncIterator[ClusterClient]:
    app = web.Application()

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1"})

    app.router.add_get("/version", version)
    app.router.add_get("/api/v1/namespaces/{n}/pods/{p}/exec", execute)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "hunter2"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    client = await connect("here", path)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def talking(*messages: bytes | str, cut: bool = False) -> Handler:
    async def execute(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=(V4,))
        await ws.prepare(request)
        for message in messages:
            await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
        if cut:
            assert request.transport is not None
            request.transport.abort()
        else:
            await ws.close()
        return ws

    return execute


@pytest.mark.parametrize(
    ("status", "named", "hint"),
    [
        (401, "unauthorized", "token"),
        (403, "forbidden", "pods/exec"),
        (404, "no such pod or container", "kubectl get pods"),
        (500, "500", "running"),
        (200, "200", "running"),
    ],
)
async def test_a_refused_exec_says_why_and_never_shows_the_token(
    tmp_path: Path, status: int, named: str, hint: str
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "hunter2"}, status=status)

    async with serving(tmp_path, refuse) as client:
        with pytest.raises(ClusterError, match="exec in shop/web-0") as caught:
            await exec_in_pod(client, "shop", "web-0", "main", ["cat"])
    assert named in caught.value.message
    assert hint in caught.value.hint
    assert "hunter2" not in str(caught.value)


async def test_what_is_asked_for_is_what_the_documentation_says(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return await talking()(request)

    async with serving(tmp_path, note) as client:
        stream = await exec_in_pod(client, "shop", "web-0", "main", ["a b", "-c", "x&y=z"])
        assert await stream.read() == b""
        await stream.close()
    query = asked[0].query
    assert query.getall("command") == ["a b", "-c", "x&y=z"]
    words = {key: query[key] for key in ("container", "stdin", "stdout", "stderr", "tty")}
    assert words == {"container": "main", "stdin": "true", "stdout": "true", "stderr": "true", "tty": "false"}
    assert asked[0].headers["Authorization"] == "Bearer hunter2"
    assert asked[0].headers["Sec-WebSocket-Protocol"] == f"{V5}, {V4}"


async def test_channels_are_kept_apart_and_what_is_said_is_printable(tmp_path: Path) -> None:
    status = json.dumps({"status": "Failure", "message": "exit code 1\x1b[2J"}).encode()
    messages = (b"", b"\x01", b"\x01one", b"\x02bad\x07 ", b"\x01two", b"\x09noise", "\x01three", b"\x03" + status)
    async with serving(tmp_path, talking(*messages)) as client:
        stream = await exec_in_pod(client, "shop", "web-0", "main", ["x"])
        read = [await stream.read() for _ in range(4)]
        assert read == [b"one", b"two", b"three", b""]
        assert await stream.read() == b""
        assert "bad␇" in stream.complaint()
        assert "exit code 1␛[2J" in stream.complaint()
        await stream.close()


async def test_endless_complaints_fill_no_memory(tmp_path: Path) -> None:
    async with serving(tmp_path, talking(*([b"\x02" + b"x" * 60_000] * 20), b"\x03no json")) as client:
        stream = await exec_in_pod(client, "shop", "web-0", "main", ["x"])
        assert await stream.read() == b""
        assert len(stream._complaint) <= exec_module.COMPLAINT_LIMIT
        assert len(stream.complaint()) < 1_000
        assert stream.complaint().endswith("no json")
        await stream.close()


async def test_a_stream_that_is_cut_before_the_hello_is_a_vantage_error(tmp_path: Path) -> None:
    async with serving(tmp_path, talking(b"\x01Welcome\n", b"\x02Killed", cut=True)) as client:
        stream = await exec_in_pod(client, "shop", "web-0", "main", BOOTSTRAP)
        async with asyncio.timeout(5):
            with pytest.raises(VantageError, match="no agent came up: Killed") as caught:
                await AgentLink.start(ExecChannel(stream))
    assert not isinstance(caught.value, VantageLost)


async def test_a_stream_that_is_cut_after_the_hello_is_lost(tmp_path: Path) -> None:
    hello = b'\x01{"op":"hello","version":1,"python":"3.9","in_flight":9}\n'

    async def execute(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=(V4,))
        await ws.prepare(request)
        await ws.receive()
        await ws.send_bytes(hello)
        await ws.receive()  # the job
        assert request.transport is not None
        request.transport.abort()
        return ws

    async with serving(tmp_path, execute) as client:
        link = await AgentLink.start(ExecChannel(await exec_in_pod(client, "shop", "web-0", "main", BOOTSTRAP)))
        async with asyncio.timeout(5):
            with pytest.raises(VantageLost):
                await link.ask(probe("10.96.1.10", 80))
        await link.close()
