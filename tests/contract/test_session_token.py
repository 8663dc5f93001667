"""A session token that metadata gives away is told by nobody: the agent, a forwarding's conversation, an inspection.

Each server here answers the token's request in another way; whatever way that is, its bytes stay where they arrived.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import conversation_of
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Posture, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.conversation import Conversation
from kubeshield_tui.probes.inspect import inspect
from kubeshield_tui.vantages.local import spawn_agent
from tests.unit.estate import endpoint

Writer = asyncio.StreamWriter
TOKEN = b"AQAEAOLtokenThatNobodyMaySee" * 4
HEAD = b"HTTP/1.1 200 OK\r\nServer: EC2ws\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 1\r\n"
TALK = conversation_of("aws-imds-token", 80)
QUICK = Timing(timeout=0.1, confirm=0.1)
CLOSED = b"Connection: close\r\n"


def length(body: bytes = TOKEN) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


ANSWERS = {
    "as AWS does": HEAD + CLOSED + length(),
    "to be used again": HEAD + length(),
    "until the end": HEAD + CLOSED + b"\r\n" + TOKEN,
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n70\r\n" + TOKEN + b"\r\n0\r\n\r\n",
    "longer than announced": HEAD + length() + TOKEN,
    "bare line feeds": HEAD.replace(b"\r\n", b"\n") + b"\n" + TOKEN,
    "no HTTP at all": TOKEN,
}
LATE = {
    "never whole": HEAD + b"Content-Length: 9999\r\n\r\n" + TOKEN,
    "no end of headers": HEAD,
    "a beginning": b"HTTP",
}


@asynccontextmanager
async def serving(answer: bytes, *, stays: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    asked: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if stays:
                await asyncio.sleep(60)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def probe(port: int) -> Probe:
    return Probe(
        endpoint=EndpointId("e"), vantage=VantageId("v"), host="127.0.0.1", port=port, conversation=TALK, timing=QUICK
    )


async def by_the_agent(port: int) -> tuple[Observation, bytes]:
    """The observation, and every byte that the agent wrote."""
    channel = await spawn_agent()
    told = b""
    try:
        await channel.write(protocol.agent_line())
        while b'"hello"' not in told:
            told += await channel.read()
        await channel.write(protocol.probe_line([("1", probe(port))]))
        while b'"op":"result"' not in told or not told.endswith(b"\n"):
            told += await channel.read()
    finally:
        await channel.close()
    raw = next(line for line in told.splitlines() if b'"op":"result"' in line)
    result = protocol.read_line(raw)
    assert result is not None
    return protocol.observation(probe(port), result, 1.0, raw), told


class Stream:
    """A forwarding's stream, here a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.reader, self.writer = reader, writer

    async def read(self) -> bytes:
        return await self.reader.read(65_536)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()


async def over_a_stream(port: int) -> tuple[Observation, bytes]:
    stream = Stream(*await asyncio.open_connection("127.0.0.1", port))
    told = {
        "op": "result", "id": "1", "state": "open", "reason": "syn-ack",
        "attempts": [["open", "syn-ack", 0.1]], "steps": [["connect", 0.1, True, "SYN-ACK"]],
    }  # fmt: skip
    await Conversation(probe(port), stream, told, 0.1).hold(0.8)
    stream.close()
    raw = msgspec.json.encode(told)
    return protocol.observation(probe(port), told, 1.0, raw), raw


def tells_nothing(*texts: bytes) -> None:
    for text in texts:
        assert b"tokenThatNobodyMaySee" not in text
        for begin in range(3):  # in base64, wherever in it
            assert base64.b64encode(TOKEN[begin:][:24]) not in text


Asking = Callable[[int], Awaitable[tuple[Observation, bytes]]]


@pytest.mark.parametrize("ask", [by_the_agent, over_a_stream])
@pytest.mark.parametrize("way", ANSWERS)
async def test_a_token_stays_where_it_was_asked(ask: Asking, way: str) -> None:
    async with serving(ANSWERS[way]) as (port, asked):
        seen, told = await ask(port)
    tells_nothing(told, msgspec.json.encode(seen))
    assert [each.body for each in seen.http] == [""]
    assert asked[0].startswith(b"PUT /latest/api/token HTTP/1.1\r\n")
    assert b"X-aws-ec2-metadata-token-ttl-seconds: 1\r\n" in asked[0]
    assert b"Content-Length: 0\r\n" in asked[0]
    obtainable = way != "no HTTP at all"
    assert seen.posture is (Posture.ANONYMOUS if obtainable else Posture.UNKNOWN)
    assert ("can be had" in seen.detail) == obtainable


@pytest.mark.parametrize("ask", [by_the_agent, over_a_stream])
async def test_an_answer_that_never_ends_tells_nothing_either(ask: Asking) -> None:
    for answer in LATE:
        async with serving(answer, stays=True) as (port, _):
            seen, told = await ask(port)
        tells_nothing(told, msgspec.json.encode(seen))
        assert "hop limit" not in seen.detail


@pytest.mark.parametrize("ask", [by_the_agent, over_a_stream])
async def test_connected_and_then_silence_is_what_a_hop_limit_does(ask: Asking) -> None:
    async with serving(b"", stays=True) as (port, _):
        seen, _ = await ask(port)
    assert (seen.state, seen.posture) == (State.OPEN, Posture.UNKNOWN)
    assert "hop limit" in seen.detail
    async with serving(b"") as (port, _):  # closed without a word: something else
        seen, _ = await ask(port)
    assert "hop limit" not in seen.detail


@pytest.mark.parametrize("way", ANSWERS)
async def test_an_inspection_keeps_it_to_itself_too(way: str) -> None:
    async with serving(ANSWERS[way]) as (port, asked):
        target = replace(endpoint("e", host="127.0.0.1", port=port), conversation=TALK)

        async def opener() -> Stream:
            return Stream(*await asyncio.open_connection("127.0.0.1", port))

        found = await inspect(target, False, opener)
    assert asked[0].startswith(b"PUT /latest/api/token")
    tells_nothing(msgspec.json.encode((found.exchanges, found.error)))
    if not found.error:
        assert [(each.method, each.status, each.body) for each in found.exchanges] == [("PUT", 200, "")]
