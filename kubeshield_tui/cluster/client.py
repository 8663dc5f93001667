"""One connected cluster: raw JSON in pages, with limits on everything and errors that say what to do.

The client library brings credentials, TLS and transport; its typed models are not used (a typed list of 5,000 pods
costs 5 s and 578 MB, raw pages cost 0.35 s and 17 MB).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kubeshield_tui.cluster.credentials import load_credentials
from kubeshield_tui.cluster.kubeconfig import ContextEntry, read_kubeconfig
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.text import printable

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
PAGE = 200
"""Items of a page: decoding one takes about 14 ms, which leaves the screen smooth."""
T = TypeVar("T")

RESTARTS = 3
"""How often a list whose continue token expired (410) is begun anew."""
RENEW_SECONDS = 30.0
"""Credentials younger than this are not loaded anew: what refuses them would refuse them again."""
KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds of silence, seconds between questions, questions without an answer: then a stream is dead."""
REFUSAL_LIMIT = 65_536
"""Bytes read of an answer that refuses a stream."""


NOT_FOUND = "not found"
"""Why something can't be read that the server does not have."""


class NotReadable(ClusterError):  # noqa: N818 - a fact, like the other names of errors.py
    """One thing may not or can not be read; `why` is a word or a short sentence."""

    def __init__(self, what: str, why: str, status: int = 0, said: str = "") -> None:
        super().__init__(f"{what}: {why}" + (f" ({said})" if said else ""))
        self.what = what
        self.why = why
        self.status = status


class ClusterClient:
    """Asks one API server. Made by `connect`."""

    def __init__(self, context: ContextEntry, configuration: Any, kubeconfig: Path | None = None) -> None:
        from kubernetes.aio.client import ApiClient

        self.context = context
        self.configuration = configuration
        self.version = ""
        self._kubeconfig = kubeconfig
        self._api = ApiClient(configuration=configuration)
        self._retired: Any = None
        """The client before the credentials were last renewed: what it has under way may end."""
        self._renewing = asyncio.Lock()
        self._renewed_at = time.monotonic()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: object | None = None,
        *,
        limit: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        """Send one request and return its JSON object.

        Raises NotReadable for an answer that is no success, ClusterError where there was none.
        """
        what = f"{method.lower()} {path}"
        try:
            async with asyncio.timeout(limit):
                response = await self._send(method, path, query, body, limit)
                data = await response.read()
        except TimeoutError:
            raise ClusterError(f"{self.where}: {what}: no answer within {limit:g} s", "Is it overloaded?") from None
        except Exception as error:
            raise self._mapped(what, error) from error
        if response.status >= 400:
            # Why something may not be created only the server knows: quota, Pod Security, a webhook.
            said = "" if method == "GET" else _said(data)
            raise NotReadable(what, _reason(response.status, data), response.status, said)
        try:
            told = _decoded(data)
        except (ValueError, RecursionError):
            shown = printable(data, 80)
            raise NotReadable(what, f"the answer is no JSON: {shown}", response.status) from None
        if not isinstance(told, dict):
            raise NotReadable(what, "the answer is no object", response.status)
        return told

    async def read_version(self, *, limit: float = REQUEST_SECONDS) -> None:
        """Ask which version the server is now; `version` has it afterwards. Raises as `request`."""
        told = await self.request("GET", "/version", limit=limit)
        self.version = printable(told.get("gitVersion") or "", 64)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: object | None,
        limit: object,
    ) -> Any:
        """Send a request and return its response, with renewed credentials where those that we had have expired."""
        while True:
            begun = time.monotonic()
            serialized = await self._api.param_serialize(
                method=method,
                resource_path=path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*serialized, _request_timeout=limit)
            if response.status != 401 or not await self._renew(begun):
                return response
            response.response.release()

    async def _renew(self, begun: float) -> bool:
        """Load the credentials anew: a plugin's token lives for minutes, a session for days. Tells whether they are
        newer than those of a request that began at `begun`.
        """
        async with self._renewing:
            if self._renewed_at > begun:
                return True  # another request has done it meanwhile
            if time.monotonic() - self._renewed_at < RENEW_SECONDS:
                return False
            from kubernetes.aio.client import ApiClient

            self._renewed_at = time.monotonic()
            self.configuration = await load_credentials(self.context, self._kubeconfig)
            if self._retired is not None:
                await self._retired.close()
            self._retired, self._api = self._api, ApiClient(configuration=self.configuration)
            return True

    async def pieces(self, path: str, query: Mapping[str, str | int], *, silence: float) -> AsyncGenerator[bytes]:
        """Hold a GET open and yield its body as it comes; the first piece is empty and says that the server agreed.

        Ends with the answer, where the connection breaks, or after `silence` seconds without a byte. Raises as
        `request` before that. Iterate it within `contextlib.aclosing`: closing it ends the request.
        """
        from aiohttp import ClientError, ClientTimeout

        what = f"get {path}"
        waits = ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=silence)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = (await self._send("GET", path, query, None, waits)).response
        except TimeoutError:
            raise ClusterError(f"{self.where}: {what}: no answer within {REQUEST_SECONDS:g} s") from None
        except Exception as error:
            raise self._mapped(what, error) from error
        try:
            if response.status >= 400:
                data = b""
                with contextlib.suppress(ClientError, OSError):
                    data = await response.content.read(REFUSAL_LIMIT)
                raise NotReadable(what, _reason(response.status, data), response.status)
            _keep_alive(response)
            yield b""
            with contextlib.suppress(ClientError, OSError):
                async for piece in response.content.iter_any():
                    yield piece
        finally:
            response.close()

    async def collect(
        self, path: str, make: Callable[[dict[str, Any]], T | None], query: Mapping[str, str] | None = None
    ) -> list[T]:
        """List `path` page by page and keep what `make` makes of each item (None: left out).

        Raises as `request`; begins anew when the server forgot where it was.
        """
        return (await self.snapshot(path, make, query))[0]

    async def snapshot(
        self, path: str, make: Callable[[dict[str, Any]], T | None], query: Mapping[str, str] | None = None
    ) -> tuple[list[T], str]:
        """As `collect`, with the resourceVersion that the list has: a watch goes on from there."""
        for attempt in range(RESTARTS):
            made: list[T] = []
            version = ""
            try:
                async for page, at in self._pages(path, query or {}):
                    version = at
                    made.extend(record for item in page if (record := make(item)) is not None)
                    await asyncio.sleep(0)  # decoding a page is work: let the screen draw between two
                return made, version
            except NotReadable as error:
                if error.status != 410 or attempt + 1 == RESTARTS:
                    raise
        raise AssertionError("unreachable")

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        token = ""
        while True:
            told = await self.request("GET", path, {**query, "limit": PAGE, **({"continue": token} if token else {})})
            items, metadata = told.get("items"), told.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            listed = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            yield listed, str(metadata.get("resourceVersion") or "")
            token = str(metadata.get("continue") or "")
            if not token:
                return

    @property
    def where(self) -> str:
        """How messages name this cluster."""
        return f"{self.context.name} ({self.context.server})"

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()
        if self._retired is not None:
            await self._retired.close()

    def _mapped(self, what: str, error: Exception) -> ClusterError:
        import aiohttp

        shown = printable(error, 200)
        match error:
            case ClusterError():
                return error
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return ClusterError(f"{self.where}: TLS: {shown}", "Check certificate-authority in the kubeconfig")
            case aiohttp.ClientConnectorError():
                return ClusterError(f"{self.where} can't be reached: {shown}", "Check the address, VPN and firewall")
            case _:
                kind = type(error).__name__
                return ClusterError(f"{self.where}: {what}: {kind} {shown}", "Is this a Kubernetes API?")


def _decoded(data: bytes) -> Any:
    """JSON as Python has it. Raises ValueError, RecursionError where it is none."""
    try:
        return msgspec.json.decode(data)  # a quarter faster: that is what reading a big cluster takes most time for
    except msgspec.DecodeError:
        return json.loads(data)  # more lenient: half a surrogate pair in one annotation is no reason to see no pod


def _keep_alive(response: Any) -> None:
    """Have the kernel notice within half a minute that the other side of a silent stream is gone."""
    transport = response.connection.transport if response.connection is not None else None
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(status: int, data: bytes) -> str:
    """Say why in a word where the status has one, else in the server's own words."""
    words = {401: "unauthorized", 403: "forbidden", 404: NOT_FOUND, 410: "expired"}
    return words.get(status) or _said(data) or f"status {status}"


def _said(data: bytes) -> str:
    """The message of a Status object."""
    with contextlib.suppress(ValueError, AttributeError):
        return printable(json.loads(data).get("message") or "", 300)
    return ""


async def connect(context: str, kubeconfig: Path | None, *, limit: float = CONNECT_SECONDS) -> ClusterClient:
    """Load a context's credentials and ask for the server's version.

    A server that keeps its version to itself (403) stays without one: what else may be read is for others to try.
    Raises SettingsError for a broken kubeconfig, ClusterError for what does not answer or does not let us in.
    """
    entry = read_kubeconfig(kubeconfig).context(context)
    if not entry.server:
        raise ClusterError(
            f"context {context}: its cluster {entry.cluster or '(none)'} has no server", "Complete the kubeconfig"
        )
    client = ClusterClient(entry, await load_credentials(entry, kubeconfig), kubeconfig)
    try:
        await client.read_version(limit=limit)
    except NotReadable as error:
        if error.status != 403:
            await client.close()
            raise _not_let_in(client, error) from error
    except BaseException:
        await client.close()
        raise
    return client


def _not_let_in(client: ClusterClient, error: NotReadable) -> ClusterError:
    user = client.context.user or "(none)"
    if error.status == 401:
        plugin = client.context.plugin
        how = f"Does `{plugin}` give a valid token?" if plugin else "Log in again or renew the token"
        return ClusterError(f"{client.where}: the credentials of user {user} are not accepted (401)", how)
    return ClusterError(f"{client.where}: {error.message}", "Is this a Kubernetes API?")
