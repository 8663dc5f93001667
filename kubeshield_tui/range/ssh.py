"""Real SSH servers on loopback as the range's hosts: each runs the real agent with the host's view, and its tools."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh

from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.range.tools import write_tools
from kubeshield_tui.vantages.channel import Channel


class Host:
    """An SSH server with its own key, known_hosts and client key; it adds itself to the ssh_config of its folder."""

    def __init__(
        self, folder: Path, name: str, printed: dict[str, str], executor: Callable[[], Awaitable[Channel]]
    ) -> None:
        self._folder = folder
        self._name = name
        self._tools = write_tools(folder / f"tools-{name}", printed)
        self._executor = executor
        self._server: asyncssh.SSHAcceptor | None = None
        self._config = folder / "ssh_config"

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
        identity, known = self._folder / f"id_{self._name}", self._folder / f"known_hosts_{self._name}"
        identity.touch(mode=0o600)
        identity.write_bytes(client_key.export_private_key())
        known.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
        with self._config.open("a") as config:
            config.write(
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
        else:
            await self._run_tools(process, command)

    async def _run_tools(self, process: asyncssh.SSHServerProcess[bytes], command: str) -> None:
        """Run a command of ours in a real shell that finds the simulated host's tools before all others."""
        words = shlex.split(command)
        if words[:2] != ["sh", "-c"] or len(words) != 3:
            process.stderr.write(f"{words[0] if words else 'shell'}: not found\n".encode())
            process.exit(127)
            return
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            words[2],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": f"{self._tools}:/usr/bin:/bin"},
            cwd=self._tools,
        )
        out, errors = await shell.communicate()
        process.stdout.write(out)
        process.stderr.write(errors)
        process.exit(shell.returncode or 0)

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
