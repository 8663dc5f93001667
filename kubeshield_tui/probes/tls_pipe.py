"""TLS over a byte stream that is no socket: what both users of handed-in streams share."""

from __future__ import annotations

import ssl
from typing import Protocol


class Stream(Protocol):
    """An open connection."""

    async def read(self) -> bytes:
        """Return the next piece; empty at the end. Raises OSError."""
        ...

    async def write(self, data: bytes) -> None:
        """Send. Raises OSError."""
        ...


class TlsPipe:
    """Carries what an SSLObject says and hears."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()

    def wrap(self, context: ssl.SSLContext, server_name: str) -> ssl.SSLObject:
        """Begin a client's TLS; an empty name sends no SNI."""
        return context.wrap_bio(self._in, self._out, server_hostname=server_name or None)

    async def flush(self) -> None:
        """Send what TLS has to say. Raises OSError."""
        if data := self._out.read():
            await self._stream.write(data)

    async def exchange(self) -> None:
        """Send what TLS has to say and take in what comes. Raises OSError."""
        await self.flush()
        data = await self._stream.read()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
