"""httpx over byte streams that are handed in: httpcore's network backend, with TLS by ssl.MemoryBIO."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpx

from kubeshield_tui.model.observation import TlsFacts
from kubeshield_tui.model.text import printable
from kubeshield_tui.probes import agent as _agent
from kubeshield_tui.probes.certificate import read_certificate, trust_of
from kubeshield_tui.probes.inspect import Found, Opener, Stream
from kubeshield_tui.probes.tls_pipe import TlsPipe

agent: Any = _agent
READ_SIZE = 65_536


def transport(opener: Opener, server_name: str, found: Found) -> httpx.AsyncBaseTransport:
    """A transport for one endpoint; what TLS says goes into `found`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old TLS is deprecated, and what we look for
        context = agent.tls_context()
    backend = _Backend(opener, server_name, found)
    return _Transport(httpcore.AsyncConnectionPool(ssl_context=context, network_backend=backend, max_connections=1))


def _why(error: Exception) -> str:
    return printable(str(error) or type(error).__name__, 200)


class _Transport(httpx.AsyncBaseTransport):
    """httpx over a pool of our own, with httpcore's errors as httpx's."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(method=request.method, url=url, headers=request.headers.raw, content=request.stream)
        try:
            answer = await self._pool.handle_async_request(asked)
        except (httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise httpx.TransportError(_why(error)) from error
        return httpx.Response(status_code=answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """A body as it comes."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.aiter_stream():
                yield piece
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise httpx.TransportError(_why(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


class _Backend(httpcore.AsyncNetworkBackend):
    """Its connections are the streams that the opener gives."""

    def __init__(self, opener: Opener, server_name: str, found: Found) -> None:
        self._opener = opener
        self._server_name = server_name
        self._found = found

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        try:
            return _Wire(await self._opener(), self._server_name, self._found)
        except OSError as error:
            raise httpcore.ConnectError(_why(error)) from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Wire(httpcore.AsyncNetworkStream):
    """One stream, plain at first."""

    def __init__(self, stream: Stream, server_name: str, found: Found) -> None:
        self._stream = stream
        self._server_name = server_name
        self._found = found
        self._rest = b""
        self._tls: ssl.SSLObject | None = None
        self._pipe = TlsPipe(stream)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._rest:
            try:
                self._rest = await self._stream.read() if self._tls is None else await self._decrypted(self._tls)
            except (ssl.SSLError, OSError) as error:
                raise httpcore.ReadError(_why(error)) from error
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            if self._tls is None:
                await self._stream.write(buffer)
            else:
                self._tls.write(buffer)
                await self._pipe.flush()
        except (ssl.SSLError, OSError) as error:
            raise httpcore.WriteError(_why(error)) from error

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        # Our own name or none: httpcore would send an IP literal, which is no legal SNI.
        tls = self._tls = self._pipe.wrap(ssl_context, self._server_name)
        told = agent.no_tls()
        try:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await self._pipe.exchange()
            await self._pipe.flush()
        except (ssl.SSLError, OSError) as error:
            raise httpcore.ConnectError(f"TLS: {agent.why_no_tls(told, error)}") from error
        der = tls.getpeercert(True) or b""
        self._found.tls = TlsFacts(
            version=tls.version() or "",
            cipher=(tls.cipher() or ("",))[0],
            alpn=tls.selected_alpn_protocol() or "",
            certificate=read_certificate(der),
        )
        self._found.trust = trust_of(der)
        return self

    async def _decrypted(self, tls: ssl.SSLObject) -> bytes:
        while True:
            try:
                return tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                await self._pipe.exchange()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def aclose(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else None
