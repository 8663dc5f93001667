"""Which keys are offered to a host: the agent's and the files', as ssh would, without ever asking for a passphrase."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.ssh_route import Hop

if TYPE_CHECKING:
    from asyncssh import SSHAgentClient, SSHKeyPair

AGENT_SECONDS = 3.0
KEY_FILE_LIMIT = 1 << 20
MOST_KEYS = 20
"""Keys offered to one host; servers stop listening after a few (MaxAuthTries)."""


class OfferedKeys:
    """Keys for one host, and in words what was there."""

    def __init__(self) -> None:
        self.pairs: list[SSHKeyPair] = []
        self.tried: list[str] = []
        """What is offered: `~/.ssh/id_ed25519`, `2 keys of the agent`."""
        self.encrypted: list[Path] = []
        """Key files with a passphrase that the agent does not hold."""
        self.unusable: list[str] = []
        """Files that were named and can't be used, with why."""
        self._agent: SSHAgentClient | None = None

    def close(self) -> None:
        """Close the agent's socket; keys of the agent can't sign any more."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    async def use_agent(self, path: str, wanted: set[bytes], *, only: bool) -> None:
        """Put the agent's keys first: those that the files name, then the others unless `only`."""
        import asyncssh

        try:
            async with asyncio.timeout(AGENT_SECONDS):
                self._agent = await asyncssh.connect_agent(path)
                held: Sequence[SSHKeyPair] = await self._agent.get_keys()
        except (OSError, ValueError, TimeoutError, asyncssh.Error) as error:
            self.close()
            self.unusable.append(f"agent at {path} ({printable(error, 100) or 'no answer'})")
            return
        named = [pair for pair in held if pair.public_data in wanted]
        others = [] if only else [pair for pair in held if pair.public_data not in wanted]
        taken = (named + others)[:MOST_KEYS]
        if taken:
            self.tried.append(f"{len(taken)} key{'s' if len(taken) > 1 else ''} of the agent")
        self.pairs = taken + [pair for pair in self.pairs if pair.public_data not in {one.public_data for one in taken}]


async def offered_keys(hop: Hop) -> OfferedKeys:
    """Collect the keys for a hop. Close the result when the log-in is over. Never raises for a bad key."""
    keys = OfferedKeys()
    public, locked = await asyncio.to_thread(_read_files, hop, keys)
    if hop.agent:
        await keys.use_agent(hop.agent, public, only=hop.identities_only)
    held = {pair.public_data for pair in keys.pairs}
    keys.encrypted = [path for path, data in locked.items() if not data or data not in held]
    return keys


def _read_files(hop: Hop, keys: OfferedKeys) -> tuple[set[bytes], dict[Path, bytes]]:
    """Load what is readable. Returns public keys that the files name, and the locked files with theirs."""
    import asyncssh

    public: set[bytes] = set()
    locked: dict[Path, bytes] = {}
    for path in hop.identities:
        data = _public_data(path)
        if data:
            public.add(data)
        try:
            if path.stat().st_size > KEY_FILE_LIMIT:
                raise ValueError("too large for a key")
            pairs = asyncssh.load_keypairs([str(path)])
        except FileNotFoundError:
            if hop.identities_named and not data:
                keys.unusable.append(f"{path} (no such file)")
        except (OSError, ValueError) as error:
            # Of an encrypted key the library says that a passphrase is needed; the classes differ by format.
            if "passphrase" in str(error).lower() or isinstance(error, asyncssh.KeyEncryptionError):
                locked[path] = data
            elif not data:
                keys.unusable.append(f"{path} ({printable(getattr(error, 'strerror', None) or error, 100)})")
        else:
            keys.pairs.extend(pairs)
            keys.tried.append(str(path))
            public.update(pair.public_data for pair in pairs)
    return public, locked


def _public_data(path: Path) -> bytes:
    import asyncssh

    for candidate in (path.with_name(path.name + ".pub"), path):
        try:
            return asyncssh.read_public_key(candidate).public_data
        except (OSError, ValueError):
            continue
    return b""
