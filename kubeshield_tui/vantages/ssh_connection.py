"""One connection to a host, through every hop of its chain, each with strict host keys and a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageSpec
from kubeshield_tui.vantages.ssh_errors import OfferedHostKey, explain
from kubeshield_tui.vantages.ssh_keys import OfferedKeys, offered_keys
from kubeshield_tui.vantages.ssh_known_hosts import fingerprint
from kubeshield_tui.vantages.ssh_route import Hop, config_files, resolve_route

if TYPE_CHECKING:
    from asyncssh import SSHClient, SSHClientConnection, SSHClientProcess, SSHKey, SSHReader, SSHWriter

LOGIN_SECONDS = 10.0
"""For one hop: name, TCP, key exchange and log-in."""
ROUTE_SECONDS = 10.0
"""For reading ssh_config; its `Match exec` runs programs."""
KEEPALIVE_SECONDS = 1.5
KEEPALIVE_MISSED = 2
"""The third unanswered one ends the connection: noticed within 5 s."""
RETRY_SECONDS = (0.5, 1.5)
"""Wait before the one retry, at random in between: sshd drops log-ins beyond MaxStartups."""
CLOSE_SECONDS = 2.0
HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Plain host keys of any current server, preferred first. Source: ssh_config(5), HostKeyAlgorithms."""


class SshConnection:
    """Connections of a chain; the last one is the host's."""

    def __init__(self, hops: tuple[Hop, ...]) -> None:
        self.hops = hops
        self._chain: list[SSHClientConnection] = []

    @property
    def shown(self) -> str:
        """The host for people."""
        return self.hops[-1].shown

    @property
    def alive(self) -> bool:
        """Whether every connection of the chain stands, as far as is known."""
        return bool(self._chain) and not any(connection.is_closed() for connection in self._chain)

    async def process(self, command: str, **options: Any) -> SSHClientProcess[bytes]:
        """Start a command. Raises VantageError."""
        import asyncssh

        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                return await self._chain[-1].create_process(command, encoding=None, **options)
        except asyncssh.ChannelOpenError as error:
            raise VantageError(
                f"{self.shown} starts no program ({printable(error, 200)})", "Its sshd or key forbids sessions"
            ) from error
        except TimeoutError as error:
            raise VantageError(f"{self.shown}: no program started within {LOGIN_SECONDS:g} s") from error
        except (OSError, asyncssh.Error) as error:
            raise VantageError(f"{self.shown}: the connection ended ({printable(error, 200)})") from error

    async def stream(self, host: str, port: int) -> tuple[SSHReader[bytes], SSHWriter[bytes]]:
        """Have the host connect to a TCP port. Raises OSError and asyncssh's errors, which tell what it met there."""
        return await self._chain[-1].open_connection(host, port, encoding=None)

    async def close(self) -> None:
        """End all connections, the host's first. Never raises."""
        chain, self._chain = self._chain, []
        for connection in reversed(chain):
            connection.close()
            with contextlib.suppress(Exception):
                try:
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await connection.wait_closed()
                finally:
                    connection.abort()


async def connect(spec: VantageSpec, ssh_config: Path | None) -> SshConnection:
    """Connect to the host of a spec. Raises VantageError."""
    files, hops = await route_to(spec, ssh_config)
    connection = SshConnection(hops)
    try:
        for position, hop in enumerate(hops):
            before = hops[position - 1] if position else None
            tunnel = connection._chain[-1] if connection._chain else None
            connection._chain.append(await _log_in(hop, before, tunnel, files))
    except BaseException:
        await connection.close()
        raise
    return connection


async def route_to(spec: VantageSpec, ssh_config: Path | None) -> tuple[tuple[Path, ...], tuple[Hop, ...]]:
    """Return ssh's files and the hops to the host of a spec; nothing is connected to. Raises VantageError."""
    try:
        async with asyncio.timeout(ROUTE_SECONDS):
            return await asyncio.to_thread(_resolve, spec, ssh_config)
    except TimeoutError as error:
        raise VantageError(f"{spec.host}: ssh_config was not read in time", "Does a `Match exec` hang?") from error


def _resolve(spec: VantageSpec, ssh_config: Path | None) -> tuple[tuple[Path, ...], tuple[Hop, ...]]:
    import asyncssh  # noqa: F401 - 200 ms of import, here in a thread

    files = config_files(ssh_config)
    return files, resolve_route(spec.host, spec.user, spec.port, files)


async def _log_in(
    hop: Hop, before: Hop | None, tunnel: SSHClientConnection | None, files: tuple[Path, ...]
) -> SSHClientConnection:
    import asyncssh

    refused: list[OfferedHostKey] = []
    keys: OfferedKeys | None = None
    retried = False
    try:
        keys = await offered_keys(hop)
        while True:
            try:
                async with asyncio.timeout(LOGIN_SECONDS):
                    return await asyncssh.connect(hop.alias, **_options(hop, keys, tunnel, files, refused))
            except (asyncssh.ConnectionLost, ConnectionResetError):
                if retried:
                    raise
                retried = True
                await asyncio.sleep(random.uniform(*RETRY_SECONDS))
    except (OSError, ValueError, asyncssh.Error) as error:
        raise explain(error, hop, before, refused[-1] if refused else None, keys) from error
    finally:
        if keys is not None:
            keys.close()


def _options(
    hop: Hop,
    keys: OfferedKeys,
    tunnel: SSHClientConnection | None,
    files: tuple[Path, ...],
    refused: list[OfferedHostKey],
) -> dict[str, Any]:
    """Say what ssh_config must not decide; ciphers, ProxyCommand and the like it still does."""
    trusted, authorities, revoked = _known_keys(hop)
    return {
        "port": hop.port,
        "username": hop.user,
        "config": [str(path) for path in files],
        "tunnel": tunnel,
        "known_hosts": (trusted, authorities, revoked),  # never None: that would switch the check off
        "server_host_key_algs": _host_key_algorithms(trusted, authorities),
        "client_factory": _client_factory(refused),
        "client_keys": keys.pairs or None,
        "agent_path": "",  # its keys are among client_keys
        "agent_identities": None,
        "pkcs11_provider": None,
        "password_auth": False,
        "kbdint_auth": False,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "request_pty": False,
        "connect_timeout": LOGIN_SECONDS,
        "login_timeout": LOGIN_SECONDS,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_MISSED,
    }


def _known_keys(hop: Hop) -> tuple[list[SSHKey], list[SSHKey], list[SSHKey]]:
    """Return trusted keys, authorities and revoked keys."""
    import asyncssh

    keys: dict[str, list[SSHKey]] = {"": [], "cert-authority": [], "revoked": []}
    for known in hop.known:
        with contextlib.suppress(ValueError):  # a type that the library does not know
            keys[known.marker].append(asyncssh.import_public_key(known.text))
    return keys[""], keys["cert-authority"], keys["revoked"]


def _host_key_algorithms(trusted: list[SSHKey], authorities: list[SSHKey]) -> str | list[str]:
    """Ask for types that are known, then for any: a host whose key changed its type is named, not just cut off."""
    if authorities:
        return "+" + ",".join(HOST_KEY_TYPES)
    known = [algorithm.decode("ascii") for key in trusted for algorithm in key.sig_algorithms]
    return list(dict.fromkeys((*known, *HOST_KEY_TYPES)))


def _client_factory(refused: list[OfferedHostKey]) -> type[SSHClient]:
    import asyncssh

    class StrictClient(asyncssh.SSHClient):
        """Is asked only about keys that known_hosts does not hold: notes them and says no."""

        def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
            refused.append((key.algorithm.decode("ascii", "replace"), fingerprint(key.public_data)))
            return False

    return StrictClient
