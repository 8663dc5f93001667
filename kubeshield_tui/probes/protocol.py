"""Both ends' words: job lines out, result lines in. Text of peers becomes printable here, once.

docs/concepts/agent-protocol.md describes the lines. Nothing here raises on what a peer says except ProbeError.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache, partial
from importlib import resources
from typing import Any, Literal

import msgspec

from kubeshield_tui.errors import ProbeError
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import (
    Attempt,
    HttpExchange,
    Icmp,
    Observation,
    Reason,
    State,
    Step,
    TlsFacts,
)
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.probes import datagrams
from kubeshield_tui.probes.certificate import read_certificate
from kubeshield_tui.probes.posture import read

PROTOCOL_VERSION = 1
_decoder = msgspec.json.Decoder(dict[str, Any])
LINE_LIMIT = 262_144
"""Bytes of one line from an agent: more is not ours."""
PLAIN_LIMIT = 600
RAW_LIMIT = 2_000

_BOOT = "import sys,base64,zlib;exec(zlib.decompress(base64.b64decode(sys.stdin.buffer.raw.readline())))"
BOOTSTRAP = ("python3", "-c", _BOOT)
"""Reads one unbuffered line and executes it. Short: command lines travel in URLs and audit logs."""


@cache
def agent_line() -> bytes:
    """The agent's text as the one line that the bootstrap reads."""
    source = resources.files("kubeshield_tui.probes").joinpath("agent.py").read_bytes()
    return base64.b64encode(zlib.compress(source, 9)) + b"\n"


def line(**fields: object) -> bytes:
    """One line to the agent."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def shape(probe: Probe) -> tuple[object, ...]:
    """What must be equal for probes to share a line."""
    return (probe.protocol, probe.conversation, probe.timing)


def common_of(first: Probe) -> dict[str, object]:
    """How a probe is asked, in the agent's words."""
    talk, timing = first.conversation, first.timing
    common: dict[str, object] = {
        "protocol": first.protocol,
        "timeout": timing.timeout,
        "confirm": timing.confirm,
        "attempts": timing.attempts,
        "deadline": timing.deadline,
        "tls": talk.tls,
        "server_name": talk.server_name,
        "requests": [[each.method, each.path, each.headers, each.keep_body] for each in talk.requests],
    }
    if first.protocol is Protocol.UDP:
        common["datagram"] = base64.b64encode(datagrams.payload(talk.datagram)).decode("ascii")
    return common


def probe_line(probes: Sequence[tuple[str, Probe]]) -> bytes:
    """Probes of one shape, each with its id on this connection, as one line."""
    common = common_of(probes[0][1])
    return line(op="probe", common=common, targets=[[key, probe.host, probe.port] for key, probe in probes])


def cancel_line(ids: Iterable[str]) -> bytes:
    """Forget these probes."""
    return line(op="cancel", ids=list(ids))


def read_line(data: bytes) -> dict[str, Any] | None:
    """Read a line from the agent; None where it is not one of ours (noise of a login shell)."""
    if not data.startswith(b'{"op":'):
        return None
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """A result without a conversation: what most targets of a large sweep give, read at a fifth of the cost."""

    op: Literal["result"]
    id: str
    state: State
    reason: Reason
    attempts: tuple[tuple[State, Reason, float], ...]
    steps: tuple[tuple[str, float, bool, str], ...]
    ms: float | None = None


_plain = msgspec.json.Decoder(Plain)
_short = lru_cache(256)(partial(printable, limit=200))
"""The few texts that all plain results share."""


def read_plain(data: bytes) -> Plain | None:
    """Read a result that has no conversation; None for any other line."""
    if len(data) > PLAIN_LIMIT or not data.startswith(b'{"op":"result"'):
        return None
    try:
        told = _plain.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None
    return None if told.state in {State.OPEN, State.OPEN_FILTERED} else told


def plain_observation(probe: Probe, told: Plain, at: float, raw: bytes) -> Observation:
    """Make the observation of a plain result."""
    return Observation(
        endpoint=probe.endpoint,
        vantage=probe.vantage,
        at=at,
        state=told.state,
        reason=told.reason,
        latency_ms=told.ms,
        attempts=tuple([Attempt(state=state, reason=reason, ms=ms) for state, reason, ms in told.attempts]),
        steps=tuple([Step(name=_short(name), ms=ms, ok=ok, detail=_short(more)) for name, ms, ok, more in told.steps]),
        raw=printable(raw, RAW_LIMIT),
    )


def observation(probe: Probe, told: dict[str, Any], at: float, raw: bytes) -> Observation:
    """Read a result. Raises ProbeError where it does not say what a result must say."""
    try:
        state, reason = State(told["state"]), Reason(told["reason"])
        tls = _tls(told.get("tls"))
        http = tuple(_exchange(item) for item in _list(told.get("http"))[:2])
        steps = tuple(_step(item) for item in _list(told.get("steps"))[:40])
        posture, says, facts = read(probe.conversation, state, tls, http, steps)
        return Observation(
            endpoint=probe.endpoint,
            vantage=probe.vantage,
            at=at,
            state=state,
            reason=reason,
            posture=posture,
            latency_ms=_number(told.get("ms")),
            attempts=tuple(_attempt(item) for item in _list(told.get("attempts"))[:20]),
            steps=steps,
            icmp=_icmp(told.get("icmp")),
            tls=tls,
            http=http,
            banner=printable(_bytes(told.get("banner")), 512) if probe.protocol is Protocol.TCP else "",
            source=printable(told.get("source", ""), 64),
            peer=printable(told.get("peer", ""), 64),
            detail=printable(told.get("detail", ""), 300) or _datagram(probe, state, told) or says,
            identified=facts,
            simulated=told.get("simulated") is True,
            raw=_raw(told, raw),
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        shown = printable(raw, 200)
        raise ProbeError(f"the agent's result can't be read ({type(error).__name__}): {shown}") from error


def _raw(told: dict[str, Any], raw: bytes) -> str:
    """The line as it came, without the certificate: it is shown in words, and its bytes would fill the memory."""
    tls = told.get("tls")
    if isinstance(tls, dict) and tls.get("der"):
        raw = json.dumps({**told, "tls": {**tls, "der": "..."}}, separators=(",", ":")).encode()
    return printable(raw, RAW_LIMIT)


def _datagram(probe: Probe, state: State, told: dict[str, Any]) -> str:
    """What a UDP answer is, or what its absence is worth."""
    if probe.protocol is not Protocol.UDP or state not in {State.OPEN, State.OPEN_FILTERED}:
        return ""
    name = probe.conversation.datagram
    if state is State.OPEN_FILTERED:
        return datagrams.silence(name, probe.port)
    return datagrams.reading(name, _bytes(told.get("banner")))


def _tls(told: Any) -> TlsFacts | None:
    if not isinstance(told, dict):
        return None
    return TlsFacts(
        version=printable(told.get("version", ""), 16),
        cipher=printable(told.get("cipher", ""), 64),
        alpn=printable(told.get("alpn", ""), 32),
        client_certificate=printable(told.get("client_certificate", ""), 16),
        alert=printable(told.get("alert", ""), 80),
        certificate=read_certificate(_bytes(told.get("der"))),
    )


def _exchange(told: Any) -> HttpExchange:
    return HttpExchange(
        method=printable(told["method"], 16),
        path=printable(told["path"], 200),
        status=int(told.get("status", 0)),
        reason=printable(told.get("reason", ""), 80),
        headers=tuple((printable(name, 80), printable(value, 300)) for name, value in _list(told.get("headers"))[:40]),
        body=printable(_bytes(told.get("body")), 2_048, lines=True),
        ms=float(told.get("ms", 0.0)),
    )


def _step(told: Any) -> Step:
    name, ms, ok, detail = told
    return Step(name=printable(name, 16), ms=float(ms), ok=bool(ok), detail=printable(detail, 200))


def _attempt(told: Any) -> Attempt:
    state, reason, ms = told
    return Attempt(state=State(state), reason=Reason(reason), ms=float(ms))


def _icmp(told: Any) -> Icmp | None:
    if not isinstance(told, dict):
        return None
    return Icmp(
        type=int(told["type"]),
        code=int(told["code"]),
        source=printable(told.get("source", ""), 64),
        family=int(told.get("family", 4)),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""
