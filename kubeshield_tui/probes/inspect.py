"""The whole safe conversation with one endpoint, on request. With inspect_wire.py the only door to httpx.

The byte stream comes from above (this machine's network, an SSH forwarding), so it is the connection of the vantage.
Requests are those of the catalogue: GET, HEAD, and the PUT that a session token is asked with, whose answer is read and
thrown away. Redirects are shown, never followed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Endpoint, Request, TlsMode
from kubeshield_tui.model.observation import HttpExchange, TlsFacts
from kubeshield_tui.model.text import printable
from kubeshield_tui.probes import tls_pipe

DEADLINE = 15.0
BODY_LIMIT = 65_536
HEADERS_LIMIT = 100
SAFE_METHODS = frozenset({"GET", "HEAD"})


class Stream(tls_pipe.Stream, Protocol):
    """An open connection that can be ended at once."""

    def close(self) -> None:
        """Close at once. Never raises."""
        ...


Opener = Callable[[], Awaitable[Stream]]


class Found:
    """What an inspection brought, filled as it goes on: what came before an error is kept."""

    def __init__(self) -> None:
        self.exchanges: list[HttpExchange] = []
        self.tls: TlsFacts | None = None
        self.trust = ""
        self.error = ""
        self.seconds = 0.0


async def inspect(endpoint: Endpoint, secure: bool, opener: Opener) -> Found:
    """Hold the conversation. Never raises for what the peer does: `error` says it."""
    found = Found()
    begun = time.monotonic()
    opened: list[Stream] = []

    async def noted() -> Stream:
        opened.append(await opener())
        return opened[-1]

    try:
        async with asyncio.timeout(DEADLINE):
            await _converse(endpoint, secure, noted, found)
    except TimeoutError:
        found.error = f"not done within {DEADLINE:g} s"
    except (OSError, ProbeError, ssl.SSLError) as error:
        found.error = printable(str(error) or type(error).__name__, 300)
    finally:
        for stream in opened:  # the pool forgets one that was cut short in its handshake
            stream.close()
    found.seconds = round(time.monotonic() - begun, 3)
    return found


def requests_of(endpoint: Endpoint) -> tuple[Request, ...]:
    """What is asked: the catalogue's requests, the root where it names none."""
    requests = endpoint.conversation.requests or (Request(path="/"),)
    return tuple(request for request in requests if request.method in SAFE_METHODS or _is_token_request(request))


def _is_token_request(request: Request) -> bool:
    return request.method == "PUT" and not request.keep_body


def wants_tls(endpoint: Endpoint, tls: TlsFacts | None) -> bool:
    """Whether to speak TLS: where the catalogue says so, or where the probe found it."""
    if tls is None:
        return endpoint.conversation.tls is not TlsMode.OFF
    return endpoint.conversation.tls is TlsMode.ON or bool(tls.version or tls.alert)


async def _converse(endpoint: Endpoint, secure: bool, opener: Opener, found: Found) -> None:
    import httpx

    from kubeshield_tui.probes.inspect_wire import transport

    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    base = f"{'https' if secure else 'http'}://{host}:{endpoint.port}"
    carrier = transport(opener, endpoint.conversation.server_name, found)
    async with httpx.AsyncClient(transport=carrier, base_url=base, timeout=DEADLINE, trust_env=False) as client:
        client.headers = httpx.Headers({"User-Agent": "kubeshield", "Accept": "*/*"})
        for request in requests_of(endpoint):
            try:
                found.exchanges.append(await _exchange(client, request))
            except httpx.HTTPError as error:
                said = printable(str(error) or type(error).__name__, 200)
                raise ProbeError(f"{request.method} {request.path}: {said}") from error


async def _exchange(client: Any, request: Request) -> HttpExchange:
    begun = time.monotonic()
    body = b""
    async with client.stream(request.method, request.path, headers=dict(request.headers)) as response:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) >= BODY_LIMIT:
                break
        return HttpExchange(
            method=request.method,
            path=request.path,
            status=response.status_code,
            reason=printable(response.reason_phrase, 80),
            headers=tuple(
                (printable(name, 80), printable(value, 300)) for name, value in response.headers.raw[:HEADERS_LIMIT]
            ),
            body=printable(body[:BODY_LIMIT] if request.keep_body else "", BODY_LIMIT, lines=True),
            ms=round((time.monotonic() - begun) * 1000, 3),
        )
