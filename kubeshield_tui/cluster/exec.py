"""Exec into a container over a websocket, as a byte stream.

Asks for protocol v5 and v4 and needs only v4 (which can't half-close standard input). Channels of the Kubernetes
remote-command protocol: 0 stdin, 1 stdout, 2 stderr, 3 status. Never attach: that would join the workload itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

from kubeshield_tui.cluster.client import ClusterClient
from kubeshield_tui.cluster.rights import Feature
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.text import printable

PROTOCOLS = "v5.channel.k8s.io, v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS = 0, 1, 2, 3
CHUNK = 32_768
COMPLAINT_LIMIT = 4_096
LAST_SECONDS = 1.0
"""What a closed stream may take to tell why."""


class ExecEnded(ClusterError):  # noqa: N818 - a fact
    """The websocket was cut or closed."""


class ExecStream:
    """A running command's standard streams. Made by `exec_in_pod`."""

    def __init__(self, api: Any, socket: Any) -> None:
        self._api = api
        self._socket = socket
        self._complaint = b""
        self._status = ""

    @property
    def protocol(self) -> str:
        """The negotiated subprotocol."""
        # aiohttp knows only protocols that it was told to offer; ours went as a header.
        return str(self._socket._response.headers.get("Sec-WebSocket-Protocol", ""))

    async def read(self) -> bytes:
        """Return the next piece of standard output, empty at its end. Raises ExecEnded where the stream was cut."""
        from aiohttp import WSMsgType

        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                data = message.data.encode() if isinstance(message.data, str) else message.data
                channel, content = data[:1], bytes(data[1:])
                if channel == bytes([STDOUT]) and content:
                    return content
                if channel == bytes([STDERR]):
                    self._complaint = (self._complaint + content)[:COMPLAINT_LIMIT]
                elif channel == bytes([STATUS]):
                    self._status = _status(content)
                continue
            if message.type is WSMsgType.ERROR:
                raise ExecEnded(f"exec was cut: {printable(message.data, 200)}")
            return b""

    async def write(self, data: bytes) -> None:
        """Write to standard input. Raises ExecEnded."""
        try:
            for begin in range(0, len(data), CHUNK):
                await self._socket.send_bytes(bytes([STDIN]) + data[begin : begin + CHUNK])
        except (OSError, RuntimeError) as error:
            await self._last_words()
            raise ExecEnded(f"exec was cut: {printable(error, 200)}") from error

    async def _last_words(self) -> None:
        """Take in what came before the end: a command that could not start says so there."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_SECONDS):
                while await self.read():
                    pass

    def complaint(self) -> str:
        """What came on standard error, and the status that the server gave."""
        said = printable(self._complaint, 500).strip()
        return "; ".join(part for part in (said, self._status) if part)

    async def close(self) -> None:
        """Close the websocket and its connections. Never raises."""
        with contextlib.suppress(Exception):
            await self._socket.close()
        with contextlib.suppress(Exception):
            await self._api.close()


def _status(content: bytes) -> str:
    try:
        told = json.loads(content)
        return "" if told.get("status") == "Success" else printable(told.get("message") or "", 300)
    except (ValueError, AttributeError):
        return printable(content, 300)


async def exec_in_pod(
    client: ClusterClient, namespace: str, pod: str, container: str, command: Sequence[str]
) -> ExecStream:
    """Start a command in a container. Raises ClusterError where the server does not let us."""
    import aiohttp
    from kubernetes.aio.stream import WsApiClient

    # An API client of its own: a hundred open execs on the shared one would starve its lists.
    api = WsApiClient(configuration=client.configuration)
    serialized = await api.param_serialize(
        method="GET",
        resource_path=f"/api/v1/namespaces/{namespace}/pods/{pod}/exec",
        query_params=[
            *(("command", part) for part in command),
            ("container", container),
            ("stdin", "true"),
            ("stdout", "true"),
            ("stderr", "true"),
            ("tty", "false"),
        ],
        header_params={"sec-websocket-protocol": PROTOCOLS},
        auth_settings=["BearerToken"],
    )
    where = f"exec in {namespace}/{pod}"
    try:
        response = await api.call_api(*serialized, _preload_content=False)
        return ExecStream(api, await response.response)
    except aiohttp.WSServerHandshakeError as error:
        await api.close()
        raise _refused(where, namespace, error.status) from error
    except Exception as error:
        await api.close()
        raise ClusterError(f"{where}: {printable(error, 200)}", "Is the API reachable?") from error
    except BaseException:
        await api.close()
        raise


def _refused(where: str, namespace: str, status: int) -> ClusterError:
    match status:
        case 401:
            return ClusterError(f"{where}: unauthorized", "Log in again or renew the token")
        case 403:
            hint = f"It needs get and create on pods/exec: {Feature.EXEC.role_hint(namespace)}"
            return ClusterError(f"{where}: forbidden", hint)
        case 404:
            return ClusterError(f"{where}: no such pod or container", "kubectl get pods shows what is there")
        case _:
            return ClusterError(f"{where}: the server answered {status} to the websocket", "Is the pod running?")
