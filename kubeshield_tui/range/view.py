"""A vantage's view of the range: between a client and the real agent, addresses shown become loopback sockets.

The agent is the real one, and open, closed, TLS, HTTP and silence are real sockets. Only ICMP rejects and the resets of
proxies are put in here, and marked as simulated. An address that the scenario does not know is dropped: nothing shown
is ever connected to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.local import ProcessChannel, spawn_agent

Address = tuple[str, int]
ANSWER_MS = 0.4
_ICMP_CODES = {"net-unreach": 0, "host-unreach": 1, "port-unreach": 3, "net-prohibited": 9, "host-prohibited": 10}
_ADMIN_PROHIBITED = 13


class Reject(NamedTuple):
    """An ICMP error that the range puts in."""

    reason: str
    source: str


class Sight:
    """What one vantage sees, shown address -> loopback socket, reject or reset, and as which addresses it is seen."""

    def __init__(
        self,
        sockets: Mapping[Address, Address],
        rejects: Mapping[Address, Reject],
        drop: Address,
        addresses: Sequence[str] = (),
        cut: Iterable[Address] = (),
    ) -> None:
        self._sockets = dict(sockets)
        self._rejects = dict(rejects)
        self._cut = frozenset(cut)
        self.drop = drop
        self.addresses = tuple(addresses)

    def as_seen_by(self, addresses: Sequence[str]) -> Sight:
        """The same view from other addresses."""
        return Sight(self._sockets, self._rejects, self.drop, addresses, self._cut)

    def rewrite(self, line: bytes, asked: dict[str, str]) -> tuple[bytes, list[bytes]]:
        """Rewrite a line to the agent; returns it and the answers that the range gives itself.

        `asked` is told which address each probe is for, by the probe's id.
        """
        if not line.startswith(b'{"op":"probe"'):
            return line, []
        told = json.loads(line)
        targets, answers = [], []
        for target in told["targets"]:
            key, host, port = target[:3]
            asked[key] = host
            reject = self._rejects.get((host, port))
            if reject is not None:
                answers.append(_rejected(key, reject))
            elif (host, port) in self._cut:
                answers.append(_reset(key, self._source_to(host)))
            else:
                targets.append([key, host, port, *self._sockets.get((host, port), self.drop)])
        told["targets"] = targets
        return json.dumps(told, separators=(",", ":")).encode(), answers

    def rewrite_answer(self, line: bytes, asked: dict[str, str]) -> bytes:
        """Rewrite a line of the agent: it comes as the addresses of the vantage, not as this machine's own."""
        if not self.addresses or not line.startswith((b'{"op":"hello"', b'{"op":"result"')):
            return line
        told = json.loads(line)
        if told["op"] == "hello":
            told["addresses"] = self.addresses
        else:
            host = asked.pop(told["id"], "")
            if "source" in told:
                told["source"] = self._source_to(host)
        return json.dumps(told, separators=(",", ":")).encode()

    def _source_to(self, host: str) -> str:
        network = host.rpartition(".")[0]
        near = (address for address in self.addresses if address.rpartition(".")[0] == network)
        return next(iter((*near, *self.addresses)), "")


def _rejected(key: str, reject: Reject) -> bytes:
    code = _ICMP_CODES.get(reject.reason, _ADMIN_PROHIBITED)
    told: dict[str, Any] = {
        "op": "result",
        "id": key,
        "state": "filtered",
        "reason": reject.reason,
        "attempts": [["filtered", reject.reason, ANSWER_MS]],
        "steps": [["connect", ANSWER_MS, False, f"ICMP type 3 code {code} from {reject.source} (simulated)"]],
        "ms": ANSWER_MS,
        "icmp": {"type": 3, "code": code, "source": reject.source, "family": 4},
        "simulated": True,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _reset(key: str, source: str) -> bytes:
    told: dict[str, Any] = {
        "op": "result",
        "id": key,
        "state": "open",
        "reason": "reset",
        "attempts": [["open", "reset", ANSWER_MS]],
        "steps": [
            ["connect", ANSWER_MS, True, "SYN-ACK (simulated)"],
            ["banner", ANSWER_MS, False, "reset by the peer (simulated)"],
        ],
        "ms": ANSWER_MS,
        "source": source,
        "simulated": True,
    }
    return json.dumps(told, separators=(",", ":")).encode()


class SightChannel:
    """A channel to a real agent, seen through a sight. The bootstrap line passes unchanged."""

    def __init__(self, channel: Channel, sight: Sight) -> None:
        self._channel = channel
        self._sight = sight
        self._buffer = b""
        self._heard = b""
        self._asked: dict[str, str] = {}
        """Addresses that probes under way are for."""
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._reading: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Return whole lines of the agent, rewritten, or what the range puts in; at the end what is left of a line."""
        while True:
            if self._reading is None:
                self._reading = asyncio.create_task(self._channel.read())
            answer = asyncio.create_task(self._answers.get())
            try:
                await asyncio.wait((self._reading, answer), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return answer.result()
            finally:
                answer.cancel()
            done, self._reading = self._reading, None
            data = done.result()
            *lines, self._heard = (self._heard + data).split(b"\n")
            if lines:
                return b"".join(self._sight.rewrite_answer(line, self._asked) + b"\n" for line in lines)
            if not data:
                rest, self._heard = self._heard, b""
                return rest

    async def write(self, data: bytes) -> None:
        """Pass lines on, rewritten."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            rewritten, answers = self._sight.rewrite(line, self._asked)
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
