"""An API server that misbehaves as its script says (a fake, named so): each watch takes the next turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from kubeshield_tui.cluster.client import ClusterClient, connect
from kubeshield_tui.cluster.kinds import KINDS, Kind, key_of
from kubeshield_tui.cluster.watch import Fact, Gone, Listed, Put, watch

Json = dict[str, Any]
PODS = next(kind for kind in KINDS if kind.name == "pods")
TOKEN = "never-shown-0123456789"


def pod(name: str, version: int, **spec: Any) -> Json:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}, "spec": spec}


def line(event: str, body: Json) -> bytes:
    return json.dumps({"type": event, "object": body}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def expired() -> bytes:
    return line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


def says(*pieces: bytes) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A watch that says this and ends."""

    async def turn(_: web.Request, response: web.StreamResponse) -> None:
        for piece in pieces:
            await response.write(piece)

    return turn


class Refusal(NamedTuple):
    """An answer that is no stream."""

    status: int
    body: bytes = b"{}"
    content_type: str = "application/json"


Turn = Callable[[web.Request, web.StreamResponse], Awaitable[None]] | Refusal


class ScriptedServer:
    """Serves pods. `turns` answer watches one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.items: list[Json] = [pod("web-0", 10)]
        self.position = 10
        self.turns: list[Turn] = []
        self.refused_list: Refusal | None = None
        self.lists = 0
        self.services: Refusal | None = None
        """What is answered whenever Services are asked for."""
        self.service_lists = 0
        self.watches: list[dict[str, str]] = []
        self.address = ""
        self.accepted = ""
        """The only token that is let in, where one is named."""
        self._runner: web.AppRunner
        self._port = 0

    async def start(self) -> None:
        """Listen, on the port that it had before."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        host, self._port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{self._port}"

    async def stop(self) -> None:
        """Cut every connection and listen no more."""
        await self._runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.accepted and not request.headers.get("Authorization", "").endswith(self.accepted):
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.20.2"})
        if request.path == "/api/v1/services" and self.services is not None:
            self.service_lists += 1
            return web.Response(**self.services._asdict())
        if request.path != "/api/v1/pods":
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        if request.query.get("watch") != "true":
            self.lists += 1
            if self.refused_list is not None:
                return web.Response(**self.refused_list._asdict())
            return web.json_response({"metadata": {"resourceVersion": str(self.position)}, "items": self.items})
        turn = self.turns[min(len(self.watches), len(self.turns) - 1)]
        self.watches.append(dict(request.query))
        if isinstance(turn, Refusal):
            return web.Response(**turn._asdict())
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await turn(request, response)
        return response


@asynccontextmanager
async def scripted(directory: Path, token: str = TOKEN) -> AsyncIterator[tuple[ScriptedServer, ClusterClient]]:
    """A server on loopback and a client that is connected to it."""
    server = ScriptedServer()
    await server.start()
    path = directory / "kubeconfig"
    write_kubeconfig(path, server.address, token)
    client = await connect("c", path)
    try:
        yield server, client
    finally:
        await client.close()
        await server.stop()


class Follower:
    """What was told, and a way to wait for more."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def of(self, *types: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, types)]

    def keys(self) -> list[tuple[str, ...]]:
        """Facts on objects, in words."""
        words: list[tuple[str, ...]] = []
        for fact in self.facts:
            match fact:
                case Listed():
                    words.append(("list", *sorted(key_of(record)[1] for record in fact.records)))
                case Put():
                    words.append(("put", key_of(fact.record)[1]))
                case Gone():
                    words.append(("gone", fact.key[1]))
        return words

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def following(client: ClusterClient, *kinds: Kind) -> AsyncIterator[Follower]:
    follower = Follower()
    task = asyncio.create_task(watch(client, kinds or (PODS,), follower.facts.append))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or task.exception() is None


def write_kubeconfig(path: Path, address: str, token: str) -> None:
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(config))
