"""A host as a vantage: the agent, or what else can ask there, over one SSH connection, which also carries commands.

Nothing is written on the host: the agent lives in the memory of a python3 that ends with its channel.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageFacts, VantageSpec
from kubeshield_tui.vantages.asker import Asker
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.ladder import climb
from kubeshield_tui.vantages.ssh_channel import CommandResult, SshChannel, finish
from kubeshield_tui.vantages.ssh_connection import SshConnection, connect
from kubeshield_tui.vantages.ssh_direct import DirectLink, ForwardedStream

COMMAND_NOT_FOUND = 127
"""Exit status of a shell that finds no such program. Source: POSIX, Shell Command Language, 2.8.2."""


class SshVantage:
    """Asks from a host that SSH reaches."""

    def __init__(self, spec: VantageSpec, *, ssh_config: Path | None = None) -> None:
        self.spec = spec
        self._ssh_config = ssh_config
        self._connection: SshConnection | None = None
        self._connecting = asyncio.Lock()
        self._link: Asker | None = None

    async def open(self) -> VantageFacts:
        """Connect through all hops and start the best rung of the ladder. Raises VantageError."""
        await self._end_link()
        try:
            self._link = await self._start(await self._connected())
        except BaseException:
            await self.close()
            raise
        return self._link.facts

    async def ask(self, probe: Probe) -> Observation:
        """Ask one probe. Raises VantageLost."""
        if self._link is None:
            raise VantageLost(f"{self.spec.text} is not open")
        return await self._link.ask(probe)

    async def run(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        """Run a command on the host, without a terminal and without input, on the vantage's one connection.

        At most `limit` bytes of each stream are kept; more ends the command. Raises VantageError, also after
        `timeout` seconds.
        """
        import asyncssh

        connection = await self._connected()
        shown = printable(shlex.join(argv), 80)
        try:
            async with asyncio.timeout(timeout):
                process = await connection.process(shlex.join(argv), stdin=asyncssh.DEVNULL)
                return await finish(process, limit)
        except TimeoutError as error:
            raise VantageError(f"{connection.shown}: `{shown}` was not done within {timeout:g} s") from error
        except (OSError, asyncssh.Error) as error:
            raise VantageLost(f"{connection.shown}: the connection ended during `{shown}`") from error

    async def open_stream(self, host: str, port: int) -> ForwardedStream:
        """Have the host connect to a TCP port. Raises VantageError."""
        import asyncssh

        connection = await self._connected()
        try:
            return ForwardedStream(*await connection.stream(host, port))
        except (OSError, asyncssh.Error) as error:
            said = printable(error, 200)
            raise VantageError(f"{connection.shown} can't connect to {host}:{port} ({said})") from error

    async def close(self) -> None:
        """End the agent and the connection."""
        await self._end_link()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> SshConnection:
        async with self._connecting:
            if self._connection is not None and not self._connection.alive:
                await self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = await connect(self.spec, self._ssh_config)
            return self._connection

    async def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _start(self, connection: SshConnection) -> Asker:
        """Climb the ladder; the last rung is forwarding, which needs nothing there but sshd's leave."""
        if self.spec.direct:
            return DirectLink(connection, self._another)
        channels: list[SshChannel] = []

        async def run(argv: Sequence[str]) -> Channel:
            channels.append(SshChannel(await connection.process(shlex.join(argv)), connection.shown))
            return channels[-1]

        try:
            return await climb(run, connection.shown)
        except VantageLost:
            raise
        except VantageError as error:
            why = _nothing_runs(connection, channels[0], error) if channels else error
            try:
                return await DirectLink.start(connection, self._another, why.message)
            except VantageError as refused:
                raise VantageError(f"{why.message}; {refused.message}", why.hint) from error

    async def _another(self) -> SshConnection:
        return await connect(self.spec, self._ssh_config)


def _nothing_runs(connection: SshConnection, channel: SshChannel, error: VantageError) -> VantageError:
    """Say why nothing came up, from how the first program ended and what it said."""
    said = channel.complaint()
    lowered = said.lower()
    missing = "not found" in lowered or "no such file" in lowered or "unknown command" in lowered
    if channel.exit_status == COMMAND_NOT_FOUND or (missing and "python3" in lowered):
        return error  # it names every rung
    words = printable(channel.first_words.strip(), 200)
    if (channel.exit_status is not None and not said) or words:
        return VantageError(
            f"{connection.shown} runs something else than what is asked{f'; it says: {words}' if words else ''}"
            f"{f'; {said}' if said else ''}",
            "A forced command (ForceCommand, command= of the key) or a login without a shell; use another key or user",
        )
    return error
