"""A program on a host, over an SSH connection: as a byte stream, or run to its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from kubeshield_tui.errors import VantageLost
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

if TYPE_CHECKING:
    from asyncssh import SSHClientProcess

READ_SIZE = 1 << 16
COMPLAINT_LIMIT = 4_096
END_SECONDS = 2.0
"""What the far side may take to confirm that a channel is closed."""


class CommandResult(Record, frozen=True):
    """What a command did."""

    exit_status: int
    """-1 where the host told none (killed by a signal, channel cut)."""
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    """Whether there was more output than the limit; the rest was not fetched."""


class SshChannel:
    """Standard input and output of a program on the host. Knows how it ended, for the sentence that says so."""

    def __init__(self, process: SSHClientProcess[Any], shown: str) -> None:
        self._process = process
        self._shown = shown
        self._complaint = b""
        self.first_words = b""
        """First bytes of standard output: a host that runs something else shows it here."""
        self._errors = asyncio.create_task(self._read_errors(), name="ssh complaints")

    @property
    def exit_status(self) -> int | None:
        """Exit status of the program, None while it runs or where the host told none."""
        return self._process.exit_status

    async def read(self) -> bytes:
        """Return the next piece of output; empty at its end. Raises VantageLost."""
        import asyncssh

        try:
            data = bytes(await self._process.stdout.read(READ_SIZE))
        except (OSError, asyncssh.Error) as error:
            raise VantageLost(f"the SSH connection to {self._shown} ended ({printable(error, 200)})") from error
        if len(self.first_words) < COMPLAINT_LIMIT:
            self.first_words += data[:COMPLAINT_LIMIT]
        return data

    async def write(self, data: bytes) -> None:
        """Write to the program. Raises VantageLost when it or the connection is gone."""
        import asyncssh

        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, asyncssh.Error) as error:
            raise VantageLost(f"the SSH connection to {self._shown} ended ({printable(error, 200)})") from error

    def complaint(self) -> str:
        """Return what the program said on standard error."""
        return printable(self._complaint.strip(), 500)

    async def ended(self) -> None:
        """Wait, for a short time, until the program's end and all its complaints are known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await asyncio.wait({self._errors})
                await self._process.wait_closed()

    async def close(self) -> None:
        """End the program: its input closes, and with it the channel."""
        self._process.close()
        await self.ended()
        self._errors.cancel()
        await asyncio.gather(self._errors, return_exceptions=True)

    async def _read_errors(self) -> None:
        import asyncssh

        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await self._process.stderr.read(READ_SIZE):
                self._complaint = (self._complaint + data)[:COMPLAINT_LIMIT]


async def finish(process: SSHClientProcess[Any], limit: int) -> CommandResult:
    """Read a program's output up to `limit` bytes a stream and return how it ended.

    More than the limit ends the program. Raises what the library raises; the caller holds the time limit.
    """

    async def read(reader: Any) -> bytes:
        pieces = bytearray()
        while data := await reader.read(READ_SIZE):
            pieces += data
            if len(pieces) > limit:
                process.close()  # the other stream ends with it
                break
        return bytes(pieces)

    try:
        output, errors = await asyncio.gather(read(process.stdout), read(process.stderr))
        await process.wait_closed()
    finally:
        process.close()
    status = process.exit_status
    return CommandResult(
        exit_status=-1 if status is None else status,
        stdout=output[:limit],
        stderr=errors[:limit],
        truncated=len(output) > limit or len(errors) > limit,
    )
