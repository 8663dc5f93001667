"""A vantage's view of the range: between a client and the real agent, addresses shown become loopback sockets.

The agent is the real one, and open, closed, TLS, HTTP and silence are real sockets. Only an ICMP reject is put in here,
and marked as simulated. An address that the scenario does not know is dropped: nothing shown is ever connected to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.local import ProcessChannel, spawn_agent

Address = tuple[str, int]
REJECT_MS = 0.4
_ICMP_CODES = {"net-unreach": 0, "host-unreach": 1, "port-unreach": 3, "net-prohibited": 9, "host-prohibited": 10}
_ADMIN_PROHIBITED = 13


class Reject(NamedTuple):
    """An ICMP error that the range puts in."""

    reason: str
    source: str


class Sight:
    """What one vantage sees: shown address -> loopback socket or reject."""

    def __init__(self, sockets: Mapping[Address, Address], rejects: Mapping[Address, Reject], drop: Address) -> None:
        self._sockets = dict(sockets)
        self._rejects = dict(rejects)
        self.drop = drop

    def rewrite(self, line: bytes) -> tuple[bytes, list[bytes]]:
        """Rewrite a line to the agent; returns it and the answers that the range gives itself."""
        if not line.startswith(b'{"op":"probe"'):
            return line, []
        told = json.loads(line)
        targets, answers = [], []
        for target in told["targets"]:
            key, host, port = target[:3]
            reject = self._rejects.get((host, port))
            if reject is not None:
                answers.append(_rejected(key, reject))
            else:
                targets.append([key, host, port, *self._sockets.get((host, port), self.drop)])
        told["targets"] = targets
        return json.dumps(told, separators=(",", ":")).encode(), answers


def _rejected(key: str, reject: Reject) -> bytes:
    code = _ICMP_CODES.get(reject.reason, _ADMIN_PROHIBITED)
    told: dict[str, Any] = {
        "op": "result",
        "id": key,
        "state": "filtered",
        "reason": reject.reason,
        "attempts": [["filtered", reject.reason, REJECT_MS]],
        "steps": [["connect", REJECT_MS, False, f"ICMP type 3 code {code} from {reject.source} (simulated)"]],
        "ms": REJECT_MS,
        "icmp": {"type": 3, "code": code, "source": reject.source, "family": 4},
        "simulated": True,
    }
    return json.dumps(told, separators=(",", ":")).encode()


class SightChannel:
    """A channel to a real agent, seen through a sight. The bootstrap line passes unchanged."""

    def __init__(self, channel: Channel, sight: Sight) -> None:
        self._channel = channel
        self._sight = sight
        self._buffer = b""
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._reading: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Return what the agent says, or what the range puts in."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._channel.read())
        answer = asyncio.create_task(self._answers.get())
        try:
            await asyncio.wait((self._reading, answer), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            done, self._reading = self._reading, None
            return done.result()
        finally:
            answer.cancel()

    async def write(self, data: bytes) -> None:
        """Pass lines on, rewritten."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            rewritten, answers = self._sight.rewrite(line)
            await self._channel.write(rewritten + b"\n")
            # One piece, so that the agent's own lines can't fall in between.
            if answers:
                self._answers.put_nowait(b"".join(answer + b"\n" for answer in answers))

    def complaint(self) -> str:
        """Return what the agent's process said."""
        return self._channel.complaint()

    async def close(self) -> None:
        """End the agent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._channel.close()


async def spawn_with_sight(sight: Sight) -> SightChannel:
    """Start the real agent with a view of the range."""
    process: ProcessChannel = await spawn_agent()
    return SightChannel(process, sight)
