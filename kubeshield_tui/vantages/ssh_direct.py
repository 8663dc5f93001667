"""SSH forwarding as a vantage: for hosts where nothing may run, or nothing that could ask is installed.

Each probe is one `direct-tcpip` channel. sshd connects for us and tells how that went in its own words, which are read
by a table. What it can't tell is in CANNOT_SEE. Pending channels are a debt: OpenSSH keeps them, with a file descriptor
each, until the kernel gives up (133 s), so their number is capped and the connection replaced when the cap is reached.
Source: RFC 4254 section 7.2; behaviour measured on OpenSSH 9.2 and dropbear 2022.83.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.endpoint import Protocol
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import DIRECT_RUNNER, VantageFacts
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.conversation import Conversation
from kubeshield_tui.vantages.ssh_connection import SshConnection

if TYPE_CHECKING:
    from asyncssh import SSHReader, SSHWriter

CANNOT_SEE = (
    "a firewall's reject with a TCP reset or port-unreachable looks like a closed port: closed is no proof of a block",
    "the code of an ICMP error and the hop that sent it",
    "a host that is not there from one that the jump host has no route to",
    "a connection that the target resets from one that it closes",
    "UDP",
)
DEBT = 200
"""Channels that may be pending unanswered on one connection."""
AT_ONCE = 100
OPENING = 1.0
"""Seconds until what failed for want of a file descriptor is asked once more."""
READ_SIZE = 16_384
DENIED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1."""
ANSWERS = (
    ("connection refused", "closed", "conn-refused"),
    ("no route to host", "filtered", "host-unreach"),
    ("host is unreachable", "filtered", "host-unreach"),
    ("network is unreachable", "filtered", "net-unreach"),
    ("protocol not available", "filtered", "proto-unreach"),
    ("connection reset by peer", "open", "reset"),
    ("connection timed out", "filtered", "no-response"),
    ("operation timed out", "filtered", "no-response"),
    ("permission denied", "error", "permission"),
    ("operation not permitted", "error", "permission"),
    ("name resolution", "error", "dns-failure"),
    ("name or service not known", "error", "dns-failure"),
    ("nodename nor servname", "error", "dns-failure"),
    ("error resolving", "error", "dns-failure"),
    ("cannot assign requested address", "error", "resources"),
    ("too many open files", "error", "resources"),
)
"""The server's strerror, by a part of it: wording differs by system. The text itself is always kept."""


class ForwardedStream:
    """An open channel as the stream of a conversation."""

    def __init__(self, reader: SSHReader[bytes], writer: SSHWriter[bytes]) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the next piece. Raises OSError."""
        import asyncssh

        try:
            return bytes(await self._reader.read(READ_SIZE))
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error

    async def write(self, data: bytes) -> None:
        """Send. Raises OSError."""
        import asyncssh

        try:
            self._writer.write(data)
            await self._writer.drain()
        except asyncssh.Error as error:
            raise ConnectionResetError(str(error)) from error

    def close(self) -> None:
        """Close at once."""
        with contextlib.suppress(Exception):
            self._writer.channel.abort()


class DirectLink:
    """Answers probes over one connection at a time. `start` looks first whether it may."""

    def __init__(
        self, connection: SshConnection, reconnect: Callable[[], Awaitable[SshConnection]], why: str = ""
    ) -> None:
        self._connection = connection
        self._reconnect = reconnect
        self._debts: dict[SshConnection, int] = {connection: 0}
        self._users: dict[SshConnection, int] = {connection: 0}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._changing = asyncio.Lock()
        self._lost: VantageLost | None = None
        self._pending: set[asyncio.Task[Any]] = set()
        runner = f"{DIRECT_RUNNER}: {why}" if why else DIRECT_RUNNER
        self.facts = VantageFacts(runner=runner, cannot_see=CANNOT_SEE, host_name=connection.shown, in_flight=AT_ONCE)

    @classmethod
    async def start(
        cls, connection: SshConnection, reconnect: Callable[[], Awaitable[SshConnection]], why: str
    ) -> DirectLink:
        """Look whether forwarding is allowed, by asking for the server's own discard port. Raises VantageError.

        `why`: why no better rung is there.
        """
        link = cls(connection, reconnect, why)
        try:
            async with asyncio.timeout(5.0):
                stream = await link._connected(connection, "127.0.0.1", 9)
                stream.close()
        except _RefusedError as refused:
            if refused.code == DENIED:
                shown = connection.shown
                raise VantageError(
                    f"{shown} forbids forwarding", "AllowTcpForwarding, PermitOpen or the key's options say so"
                ) from refused
        except TimeoutError:
            pass  # no answer is no refusal
        return link

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost."""
        told: dict[str, Any] = {"op": "result", "id": "0", "attempts": [], "steps": []}
        if probe.protocol is not Protocol.TCP:
            told |= {"state": "error", "reason": "resources", "detail": "SSH forwards TCP only"}
        else:
            async with self._places:
                await self._attempts(probe, told)
        return protocol.observation(probe, told, time.time(), protocol.line(**told))

    async def close(self) -> None:
        """End the connections that this link made. Never raises."""
        self._lost = self._lost or VantageLost("the vantage was closed")
        for task in list(self._pending):
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        for connection in list(self._debts):
            await connection.close()

    # --- one probe

    async def _attempts(self, probe: Probe, told: dict[str, Any]) -> None:
        scarce = False
        number = 0
        while number < probe.timing.attempts:
            limit = probe.timing.timeout if number == 0 else probe.timing.confirm
            begun, noted = time.monotonic(), len(told["attempts"])
            state, reason, detail, again = await self._attempt(probe, told, limit)
            if again and not scarce:
                scarce = True  # file descriptors of sshd may have been used up: once more, when others have ended
                await asyncio.sleep(OPENING)
                continue
            if (
                len(told["attempts"]) == noted
            ):  # no channel: sshd says how it went, a reset after the handshake included
                ms = round((time.monotonic() - begun) * 1000, 3)
                told["attempts"].append([state, reason, ms])
                told["steps"].append(["connect", ms, state == "open", detail])
                if reason != "no-response":
                    told["ms"] = ms
            if state == "error" and detail != "no answer":
                told["detail"] = detail
            told["state"], told["reason"] = state, told["attempts"][-1][1]
            if reason != "no-response":
                return
            number += 1

    async def _attempt(self, probe: Probe, told: dict[str, Any], limit: float) -> tuple[str, str, str, bool]:
        connection = await self._usable()
        self._users[connection] += 1
        begun = time.monotonic()
        opening = asyncio.create_task(self._connected(connection, probe.host, probe.port))
        self._pending.add(opening)
        opening.add_done_callback(self._pending.discard)
        streams: list[ForwardedStream] = []

        async def once_more() -> ForwardedStream | None:
            second = asyncio.create_task(self._connected(connection, probe.host, probe.port))
            self._pending.add(second)
            second.add_done_callback(self._pending.discard)
            try:
                streams.append(await asyncio.shield(second))
            except _RefusedError:
                return None
            except asyncio.CancelledError:
                self._owe(connection, second)
                raise
            return streams[-1]

        try:
            done, _ = await asyncio.wait({opening}, timeout=limit)
            if not done:
                self._owe(connection, opening)
                return "filtered", "no-response", "no answer", False
            streams.append(opening.result())
            ms = round((time.monotonic() - begun) * 1000, 3)
            told["ms"] = ms
            told["attempts"].append(["open", "syn-ack", ms])
            told["steps"].append(["connect", ms, True, "channel open"])
            told["reason"] = "syn-ack"
            await Conversation(probe, streams[0], told, ms, once_more).hold(probe.timing.deadline - limit)
            return "open", told["reason"], "", False
        except _RefusedError as refused:
            return _answer(refused)
        except asyncio.CancelledError:
            self._owe(connection, opening)
            raise
        finally:
            for stream in streams:
                stream.close()
            self._users[connection] -= 1
            self._retire(connection)

    async def _connected(self, connection: SshConnection, host: str, port: int) -> ForwardedStream:
        import asyncssh

        try:
            reader, writer = await connection.stream(host, port)
        except asyncssh.ChannelOpenError as error:
            raise _RefusedError(error.code, printable(error.reason, 200)) from error
        except (OSError, asyncssh.Error) as error:
            self._lost = VantageLost(f"{connection.shown}: the SSH connection ended ({printable(error, 200)})")
            raise self._lost from error
        return ForwardedStream(reader, writer)

    # --- debts

    def _owe(self, connection: SshConnection, opening: asyncio.Task[ForwardedStream]) -> None:
        """A channel that is pending still: if it opens late on a real service, it is closed at once."""
        if opening.done():
            if not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            return
        self._debts[connection] = self._debts.get(connection, 0) + 1

        def settled(task: asyncio.Task[ForwardedStream]) -> None:
            if connection in self._debts:
                self._debts[connection] -= 1
            if not task.cancelled() and task.exception() is None:
                task.result().close()

        opening.add_done_callback(settled)

    async def _usable(self) -> SshConnection:
        """The connection, or a new one where its debt has become too large."""
        async with self._changing:
            if self._lost is not None:
                raise self._lost
            if not self._connection.alive:
                self._lost = VantageLost(f"{self._connection.shown}: the SSH connection ended")
                raise self._lost
            if self._debts[self._connection] >= DEBT:
                old = self._connection
                try:
                    self._connection = await self._reconnect()
                except VantageError as error:
                    self._lost = VantageLost(error.message, error.hint)
                    raise self._lost from error
                self._debts[self._connection] = self._users[self._connection] = 0
                self._retire(old)
            return self._connection

    def _retire(self, connection: SshConnection) -> None:
        """Close a replaced connection once nobody waits on it any more; its pending channels go with it."""
        if connection is self._connection or self._users.get(connection, 1):
            return
        del self._users[connection], self._debts[connection]
        closing = asyncio.create_task(connection.close(), name="ssh connection's end")
        self._pending.add(closing)
        closing.add_done_callback(self._pending.discard)


class _RefusedError(Exception):
    """sshd did not open the channel."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def _answer(refused: _RefusedError) -> tuple[str, str, str, bool]:
    """State, reason, detail, and whether it may be for want of file descriptors."""
    said = refused.reason
    if refused.code == DENIED:
        return "error", "forwarding-denied", f"the jump host forbids forwarding there ({said})", False
    lowered = said.lower()
    for part, state, reason in ANSWERS:
        if part in lowered:
            return state, reason, said, False
    detail = f"sshd says only {said!r}: it has no route there, or no file descriptor left"
    return "error", "resources", detail, True
