"""One connected cluster: raw JSON in pages, with limits on everything and errors that say what to do.

The client library brings credentials, TLS and transport; its typed models are not used (a typed list of 5,000 pods
costs 5 s and 578 MB, raw pages cost 0.35 s and 17 MB).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kubeshield_tui.cluster.kubeconfig import ContextEntry, read_kubeconfig
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.text import printable

CONNECT_SECONDS = 10.0
PLUGIN_SECONDS = 20.0
"""What a credential plugin may take: some open a browser, none may hang the screen."""
REQUEST_SECONDS = 30.0
PAGE = 200
"""Items of a page: decoding one takes about 14 ms, which leaves the screen smooth."""
T = TypeVar("T")

RESTARTS = 3
"""How often a list whose continue token expired (410) is begun anew."""


class NotReadable(ClusterError):  # noqa: N818 - a fact, like the other names of errors.py
    """One thing may not or can not be read; `why` is a word or a short sentence."""

    def __init__(self, what: str, why: str, status: int = 0, said: str = "") -> None:
        super().__init__(f"{what}: {why}" + (f" ({said})" if said else ""))
        self.what = what
        self.why = why
        self.status = status


class ClusterClient:
    """Asks one API server. Made by `connect`."""

    def __init__(self, context: ContextEntry, configuration: Any) -> None:
        from kubernetes.aio.client import ApiClient

        self.context = context
        self.configuration = configuration
        self._api = ApiClient(configuration=configuration)
        self.version = ""

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
        api = self._api
        serialized = await api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            async with asyncio.timeout(limit):
                response = await api.call_api(*serialized, _request_timeout=limit)
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

    async def collect(
        self, path: str, make: Callable[[dict[str, Any]], T | None], query: Mapping[str, str] | None = None
    ) -> list[T]:
        """List `path` page by page and keep what `make` makes of each item (None: left out).

        Raises as `request`; begins anew when the server forgot where it was.
        """
        for attempt in range(RESTARTS):
            made: list[T] = []
            try:
                async for page in self._pages(path, query or {}):
                    made.extend(record for item in page if (record := make(item)) is not None)
                    await asyncio.sleep(0)  # decoding a page is work: let the screen draw between two
                return made
            except NotReadable as error:
                if error.status != 410 or attempt + 1 == RESTARTS:
                    raise
        raise AssertionError("unreachable")

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[list[dict[str, Any]]]:
        token = ""
        while True:
            told = await self.request("GET", path, {**query, "limit": PAGE, **({"continue": token} if token else {})})
            items = told.get("items")
            yield [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            metadata = told.get("metadata")
            token = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
            if not token:
                return

    @property
    def where(self) -> str:
        """How messages name this cluster."""
        return f"{self.context.name} ({self.context.server})"

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

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


def _reason(status: int, data: bytes) -> str:
    """Say why in a word where the status has one, else in the server's own words."""
    words = {401: "unauthorized", 403: "forbidden", 404: "not found", 410: "expired"}
    return words.get(status) or _said(data) or f"status {status}"


def _said(data: bytes) -> str:
    """The message of a Status object."""
    with contextlib.suppress(ValueError, AttributeError):
        return printable(json.loads(data).get("message") or "", 300)
    return ""


async def connect(context: str, kubeconfig: Path | None, *, limit: float = CONNECT_SECONDS) -> ClusterClient:
    """Load a context's credentials and ask for the server's version.

    Raises SettingsError for a broken kubeconfig, ClusterError for what does not answer or does not let us in.
    """
    entry = read_kubeconfig(kubeconfig).context(context)
    if not entry.server:
        raise ClusterError(
            f"context {context}: its cluster {entry.cluster or '(none)'} has no server", "Complete the kubeconfig"
        )
    client = ClusterClient(entry, await _configuration(entry, kubeconfig))
    try:
        told = await client.request("GET", "/version", limit=limit)
        client.version = printable(told.get("gitVersion") or "", 64)
    except NotReadable as error:
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


class _Complaints(logging.Handler):
    """Keeps what the library only logs: the failure of a credential plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(printable(record.getMessage(), 300))


async def _configuration(entry: ContextEntry, kubeconfig: Path | None) -> Any:
    # 0.4 s to import: in a thread, so that the first frame does not wait for it.
    await asyncio.to_thread(_warm_up)
    from kubernetes.aio import client, config

    configuration = type.__call__(client.Configuration)
    complaints = _Complaints()
    logger = logging.getLogger("kubernetes.aio.config.kube_config")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            await config.load_kube_config(
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=entry.name,
                client_configuration=configuration,
                persist_config=False,  # read-only means the user's kubeconfig too
            )
    except TimeoutError:
        _end_plugin(entry.plugin)
        what = f"the credential plugin `{entry.plugin}`" if entry.plugin else "loading credentials"
        raise ClusterError(
            f"context {entry.name}: {what} did not end within {PLUGIN_SECONDS:g} s", "Run it by hand"
        ) from None
    except Exception as error:
        raise ClusterError(f"context {entry.name}: {printable(error, 300)}", "Check the kubeconfig's user") from error
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagates
    if complaints.said and entry.plugin:
        said = complaints.said[-1]
        raise ClusterError(f"context {entry.name}: credential plugin `{entry.plugin}`: {said}", "Run it by hand")
    configuration.retries = None  # any number, and False is one, makes the library ask again and again
    return configuration


def _end_plugin(command: str) -> None:
    """End the plugin that hangs: the library gives no hold of the process that it started.

    Only a child of this very process whose command is the plugin's is ended.
    """
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == command.encode():
                    os.kill(int(pid), signal.SIGKILL)


def _warm_up() -> None:
    import kubernetes.aio.client
    import kubernetes.aio.config  # noqa: F401 - imported for their effect
