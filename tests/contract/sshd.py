"""Real OpenSSH servers on loopback, each with keys, configuration and port of its own in a temporary folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.probe import Probe, Timing

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def need_sshd() -> None:
    """Skip where there is no sshd; fail where a skip would hide that (CI)."""
    missing = [name for name in (SSHD, "ssh-keygen", "ssh-agent", "ssh-add") if not shutil.which(name)]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"missing here: {', '.join(missing)}; install openssh-server and openssh-client")
    if missing:
        pytest.skip(f"missing here: {', '.join(missing)}")


def keygen(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair at `path`."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".pub").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True)
    return path


def fingerprint(path: Path) -> str:
    """SHA256 fingerprint as ssh-keygen says it."""
    told = subprocess.run(["ssh-keygen", "-lf", str(path)], check=True, capture_output=True, text=True)
    return told.stdout.split()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def probe(host: str, port: int) -> Probe:
    """A question with short waits: all is on loopback."""
    return Probe(
        endpoint=EndpointId(f"{host}:{port}/tcp"),
        vantage=VantageId("test"),
        host=host,
        port=port,
        timing=Timing(timeout=0.5, confirm=0.5),
    )


@dataclass
class Sshd:
    """One sshd in the foreground. `lines` are more lines of its configuration."""

    name: str
    folder: Path
    authorized: Path
    lines: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def logins(self) -> int:
        return self.log.count("Accepted publickey")

    @property
    def known_line(self) -> str:
        key = self.host_key.with_suffix(".pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {key[0]} {key[1]}\n"

    def start(self) -> Sshd:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.host_key.exists():
            keygen(self.host_key)
        config = self.folder / "sshd_config"
        lines = (
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.authorized}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "UsePAM no",
            "StrictModes no",
            "PidFile none",
            "LogLevel VERBOSE",
        )
        config.write_text("\n".join((*self.lines, *lines)) + "\n")
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation, where we are root
        self.process = subprocess.Popen([SSHD, "-D", "-f", str(config), "-E", str(self.folder / "log")])
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"sshd {self.name} does not listen: {self.log}")

    def sessions(self) -> list[int]:
        """Process ids below this sshd, children first found."""
        assert self.process is not None
        found, pending = [], [self.process.pid]
        while pending:
            told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pending.pop())], capture_output=True, text=True)
            children = [int(pid) for pid in told.stdout.split()]
            found += children
            pending += children
        return found

    def signal_sessions(self, number: signal.Signals) -> None:
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.signal_sessions(signal.SIGKILL)
            self.process.terminate()
            self.process.wait(10)
            self.process = None


class Estate:
    """A folder with a user key, an ssh_config and servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = keygen(folder / "id_user")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(self.key.with_suffix(".pub").read_text())
        self.config = folder / "config"
        self.known = folder / "known_hosts"
        self.known.touch()
        self.servers: dict[str, Sshd] = {}
        self.blocks: dict[str, str] = {}

    def server(self, name: str, *lines: str) -> Sshd:
        self.servers[name] = Sshd(name, self.folder / name, self.authorized, lines).start()
        self.trust(name)
        self.configure(name)
        return self.servers[name]

    def trust(self, *names: str) -> None:
        with self.known.open("a") as known:
            known.writelines(self.servers[name].known_line for name in names)

    def configure(self, name: str, *lines: str, identity: str | None = "") -> None:
        """Write the host's block anew; `identity` None names no key."""
        server = self.servers[name]
        block = [f"Host {name}", "HostName 127.0.0.1", f"Port {server.port}", f"User {getpass.getuser()}", *lines]
        block += [f"UserKnownHostsFile {self.known}", "GlobalKnownHostsFile /dev/null"]
        if identity is not None:
            block += [f"IdentityFile {identity or self.key}", "IdentitiesOnly yes"]
        self.blocks[name] = "\n    ".join(block) + "\n"
        self.config.write_text("".join(self.blocks.values()))

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


@contextlib.contextmanager
def running_agent(folder: Path, *keys: Path) -> Iterator[Path]:
    """An ssh-agent that holds `keys`; gives its socket."""
    path = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for key in keys:
            subprocess.run(
                ["ssh-add", "-q", str(key)], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(path)}, timeout=10
            )
        yield path
    finally:
        process.terminate()
        process.wait(10)
