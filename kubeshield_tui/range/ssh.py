"""A real SSH server on loopback as the jump host: runs the real agent with the host's view, prints its rulesets."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh

from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.vantages.channel import Channel


class JumpHost:
    """An SSH server with its own key, known_hosts, client key and ssh_config in a folder."""

    def __init__(
        self, folder: Path, name: str, rulesets: dict[str, str], executor: Callable[[], Awaitable[Channel]]
    ) -> None:
        self._folder = folder
        self._name = name
        self._rulesets = rulesets
        self._executor = executor
        self._server: asyncssh.SSHAcceptor | None = None
        self.config = folder / "ssh_config"

    async def start(self) -> None:
        """Serve, and write what a client needs."""
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        self._server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(client_key.export_public_key().decode()),
            process_factory=self._serve,
            encoding=None,
            password_auth=False,
            allow_pty=False,
            allow_scp=False,
            sftp_factory=None,
        )
        port = self._server.get_port()
        identity, known = self._folder / "id_ed25519", self._folder / "known_hosts"
        identity.touch(mode=0o600)
        identity.write_bytes(client_key.export_private_key())
        known.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
        self.config.write_text(
            f"Host {self._name}\n  HostName 127.0.0.1\n  Port {port}\n  User trainee\n  IdentityFile {identity}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n"
        )

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        if command == shlex.join(BOOTSTRAP):
            await self._run_agent(process, await self._executor())
        elif command.removeprefix("sudo -n ") in self._rulesets:
            process.stdout.write(self._rulesets[command.removeprefix("sudo -n ")].encode())
            process.exit(0)
        else:
            program = command.split(" ")[0] if command else "shell"
            process.stderr.write(f"{program}: not found\n".encode())
            process.exit(127)

    async def _run_agent(self, process: asyncssh.SSHServerProcess[bytes], channel: Channel) -> None:
        async def out() -> None:
            while data := await channel.read():
                process.stdout.write(data)
                await process.stdout.drain()

        pump = asyncio.create_task(out())
        try:
            while data := await process.stdin.read(1 << 16):
                await channel.write(data)
        except (asyncssh.Error, OSError):
            pass  # the client went away
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await channel.close()
            process.exit(0)
