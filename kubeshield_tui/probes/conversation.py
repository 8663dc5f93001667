"""The agent's conversation over a byte stream that somebody else opened: greeting, TLS, two safe requests.

For vantages where no agent can run but a stream to the target can be had. Parsing and wording are the agent's own
functions, so that both say the same of the same server; `tests/contract` holds them to it.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from kubeshield_tui.model.probe import Probe
from kubeshield_tui.probes import agent as _agent
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.tls_pipe import Stream, TlsPipe

agent: Any = _agent
Opener = Callable[[], Awaitable[Stream | None]]
"""Opens one more stream to the same target; None where it can't be had. Whoever gave it closes what it opened."""
READ_LIMIT = 1 << 18
"""Bytes read of one answer, whatever the server goes on to say."""


class Conversation:
    """One conversation; `hold` adds to a result in the agent's words what was said."""

    def __init__(
        self, probe: Probe, stream: Stream, told: dict[str, Any], connect_ms: float, opener: Opener | None = None
    ) -> None:
        self._probe = probe
        self._stream = stream
        self._told = told
        self._connect_ms = connect_ms
        self._opener = opener
        self._common = agent.Common(protocol.common_of(probe))
        self._tls: ssl.SSLObject | None = None
        self._pipe = TlsPipe(stream)
        self._begun = 0.0
        self._has_begun = False
        """A part of an answer came."""

    async def hold(self, seconds: float) -> None:
        """Say what the probe wants said, within `seconds`. Never raises for what the peer does."""
        try:
            async with asyncio.timeout(seconds):
                if await self._greeting():
                    await self._speak()
        except TimeoutError:
            self._step(self._phase(), False, agent.NOT_WHOLE if self._has_begun else agent.NO_ANSWER)
        except OSError as error:
            reset = error.errno == errno.ECONNRESET
            self._step(self._phase(), False, "reset by the peer" if reset else os.strerror(error.errno or 0))

    def _phase(self) -> str:
        if self._tls is not None and not self._told["tls"]["version"]:
            return "tls"
        return "http" if self._common.requests else "tls" if self._tls is not None else "banner"

    def _step(self, name: str, ok: bool, detail: str) -> None:
        self._told["steps"].append([name, agent.since(self._begun), ok, detail])

    async def _greeting(self) -> bool:
        """Whether it is for us to speak: a port that greets first gets no TLS and no HTTP."""
        says = self._common.tls or self._common.requests
        wait = agent.GREETING_WAIT + min(2 * self._connect_ms / 1000, 0.5) if says else agent.BANNER_WAIT
        self._begun = time.monotonic()
        try:
            async with asyncio.timeout(wait):
                data = (await self._stream.read())[: agent.BANNER_LIMIT]
        except TimeoutError:
            return bool(says)
        except OSError as error:
            self._step("banner", False, "reset by the peer" if error.errno == errno.ECONNRESET else str(error))
            if error.errno == errno.ECONNRESET:
                self._told["reason"] = self._told["attempts"][-1][1] = "reset"
            return False
        self._step("banner", bool(data), f"{len(data)} bytes, unasked" if data else "closed by the peer")
        if data:
            self._told["banner"] = base64.b64encode(data).decode("ascii")
        return False

    async def _speak(self) -> None:
        self._begun = time.monotonic()
        if self._common.tls and not await self._handshake() and not await self._without_tls():
            return
        for number, request in enumerate(self._common.requests):
            last = number + 1 == len(self._common.requests)
            if not await self._ask(request, last):
                return
        if self._tls is not None and not self._common.requests and self._tls.version() == "TLSv1.3":
            await self._late_alert()

    # --- TLS

    async def _handshake(self) -> bool:
        told = self._told["tls"] = agent.no_tls()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old TLS is deprecated, and what we look for
            context = agent.tls_context()
        noted = SimpleNamespace(tls=told)
        if hasattr(context, "_msg_callback"):
            context._msg_callback = lambda conn, way, version, content, kind, data: agent.note(noted, way, kind)
        self._tls = self._pipe.wrap(context, self._common.server_name)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                try:
                    await self._pipe.exchange()
                except OSError as error:
                    self._step("tls", False, agent.why_no_tls(told, error))
                    return False
            except ssl.SSLError as error:
                await self._pipe.flush()
                self._step("tls", False, agent.why_no_tls(told, error))
                return False
        await self._pipe.flush()
        agent.shaken_hands(told, self._tls)
        self._step("tls", True, f"{told['version']} {told['cipher']}")
        return True

    async def _without_tls(self) -> bool:
        """Whether it goes on without TLS: where the answer was none, on a stream of its own."""
        is_plain = self._common.either and agent.NO_TLS in self._told["steps"][-1][3]
        if not is_plain or self._opener is None:
            return False
        self._begun = time.monotonic()
        stream = await self._opener()
        self._step("connect", stream is not None, "refused" if stream is None else "channel open")
        if stream is None:
            return False
        self._stream, self._tls = stream, None
        return True

    async def _late_alert(self) -> None:
        """TLS 1.3 refuses a client without certificate only after the handshake."""
        try:
            async with asyncio.timeout(agent.ALERT_WAIT):
                while await self._receive():
                    pass
        except TimeoutError:
            pass
        except ssl.SSLError as error:
            self._alert(error)

    def _alert(self, error: ssl.SSLError) -> None:
        reason = error.reason or ""
        if "tls" in self._told:
            agent.note_alert(self._told["tls"], reason)
        self._step("http" if self._common.requests else "tls", False, reason.replace("_", " ").lower())

    # --- HTTP

    async def _send(self, data: bytes) -> None:
        if self._tls is None:
            await self._stream.write(data)
        else:
            self._tls.write(data)
            await self._pipe.flush()

    async def _receive(self) -> bytes:
        if self._tls is None:
            return await self._stream.read()
        while True:
            try:
                return self._tls.read(16_384)
            except ssl.SSLWantReadError:
                await self._pipe.exchange()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def _ask(self, request: tuple[str, str, Any], last: bool) -> bool:
        """Whether the next request can follow on this connection."""
        self._begun = time.monotonic()
        buffer, whole, keeps = b"", False, False
        answers = self._told.setdefault("http", [])
        try:
            await self._send(agent.request_bytes(self._probe.host, self._probe.port, request, last))
            while not whole:
                data = await self._receive()
                buffer += data
                whole, keeps = agent.whole_answer(buffer, request[0], not data)
                if not data or len(buffer) > READ_LIMIT:
                    keeps = False
                    break
        except ssl.SSLError as error:
            answers.append(agent.answer_of(request, buffer, agent.since(self._begun)))
            self._alert(error)
            return False
        except (OSError, TimeoutError, asyncio.CancelledError):
            self._has_begun = bool(buffer)
            answers.append(agent.answer_of(request, buffer, agent.since(self._begun)))
            raise
        answer = agent.answer_of(request, buffer, agent.since(self._begun))
        answers.append(answer)
        said = f"{request[0]} {request[1]}: {answer['status'] or 'no status'} {answer['reason']}"
        self._step("http", bool(answer["status"]), said)
        return bool(keeps)
