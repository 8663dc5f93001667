"""The only thing a vantage has to offer: a byte stream to a process that runs there."""

from __future__ import annotations

from typing import Protocol


class Channel(Protocol):
    """Standard input and output of a remote (or child) process."""

    async def read(self) -> bytes:
        """Return the next piece of standard output; empty at its end. Raises VantageLost."""
        ...

    async def write(self, data: bytes) -> None:
        """Write to standard input, waiting while the other side is slow. Raises VantageLost."""
        ...

    def complaint(self) -> str:
        """Return what the process said on standard error so far, printable and capped."""
        ...

    async def close(self) -> None:
        """End the stream and the process behind it. Never raises; safe to call twice."""
        ...
