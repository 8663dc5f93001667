"""Exec over a websocket: runs the real agent with the pod's view of the range, or a few harmless commands.

Protocols v5 and v4 of the Kubernetes remote command; v5 can half-close standard input (channel 255).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.range.scenario import Json
from kubeshield_tui.vantages.channel import Channel

Executor = Callable[[Json], Awaitable[Channel]]
"""Starts the agent with the view of a pod."""

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
SUCCESS = {"metadata": {}, "status": "Success"}


async def exec_in_pod(request: web.Request, pod: Json, executor: Executor) -> web.StreamResponse:
    """Serve one exec."""
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), autoping=True)
    if not socket.can_prepare(request):
        return web.json_response({"kind": "Status", "code": 400, "message": "upgrade to websocket"}, status=400)
    await socket.prepare(request)
    command = request.query.getall("command", [])
    if tuple(command) == BOOTSTRAP:
        await _run_agent(socket, await executor(pod))
    elif command == ["cat"]:
        await _cat(socket)
    else:
        name = command[0] if command else ""
        message = f'exec: "{name}": executable file not found in $PATH'
        failure = {"status": "Failure", "reason": "InternalError", "message": message, "code": 500, "metadata": {}}
        await _end(socket, failure)
    return socket


async def _run_agent(socket: web.WebSocketResponse, channel: Channel) -> None:
    async def out() -> None:
        while data := await channel.read():
            await socket.send_bytes(bytes([STDOUT]) + data)

    pump = asyncio.create_task(out())
    try:
        async for message in socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            if message.data[0] == STDIN:
                await channel.write(message.data[1:])
            elif message.data[0] == CLOSE:
                break
    except (OSError, RuntimeError):
        pass  # the client went away
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        await channel.close()
    with contextlib.suppress(OSError, RuntimeError):
        await _end(socket, SUCCESS)


async def _cat(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data:
            if message.data[0] == STDIN:
                await socket.send_bytes(bytes([STDOUT]) + message.data[1:])
            elif message.data[0] == CLOSE:
                break
    if not socket.closed:
        await _end(socket, SUCCESS)


async def _end(socket: web.WebSocketResponse, status: Json) -> None:
    await socket.send_bytes(bytes([STATUS]) + json.dumps(status).encode())
    await socket.close()
