"""What ssh_config says of a host: the chain of hops to it, each with address, user, keys and known_hosts files.

Blocking (files, `Match exec`): call it in a thread. Every hop is resolved here rather than by the library, so that
none is connected to with other rules: host keys are strict for each, whatever StrictHostKeyChecking says.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.ssh_known_hosts import DEFAULT_PORT, KnownKey, find_known_keys, known_name

if TYPE_CHECKING:
    from asyncssh.config import SSHClientConfig

MOST_HOPS = 8
DEFAULT_IDENTITIES = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
"""Key files that ssh tries where no IdentityFile is named. Source: ssh_config(5)."""


class Hop(Record, frozen=True):
    """One host of a chain."""

    alias: str
    """As the user or ProxyJump wrote it."""
    host: str
    port: int
    user: str
    known_as: str
    """Name in known_hosts."""
    known_files: tuple[Path, ...]
    known: tuple[KnownKey, ...]
    identities: tuple[Path, ...]
    identities_named: bool
    """Whether ssh_config names them, rather than the defaults."""
    identities_only: bool
    agent: str
    """Path of the agent's socket; empty where none is to be used."""

    @property
    def shown(self) -> str:
        """The hop for people: its alias and, where it differs, what that stands for."""
        address = f"{self.host}:{self.port}" if self.port != DEFAULT_PORT else self.host
        return self.alias if self.alias == address else f"{self.alias} ({address})"


def config_files(ssh_config: Path | None) -> tuple[Path, ...]:
    """Return the files that ssh would read. Raises VantageError if the file that was named can't be read."""
    if ssh_config is not None:
        if not os.access(ssh_config, os.R_OK) or not ssh_config.is_file():
            raise VantageError(f"{ssh_config}: can't read this ssh_config", "Check --ssh-config")
        return (ssh_config,)
    usual = (Path.home() / ".ssh/config", Path("/etc/ssh/ssh_config"))
    return tuple(path for path in usual if path.is_file() and os.access(path, os.R_OK))


def resolve_route(alias: str, user: str, port: int, files: tuple[Path, ...]) -> tuple[Hop, ...]:
    """Return the hops to a host, the host itself last. Raises VantageError."""
    return _route(alias, user, port, files, 0)


def _route(alias: str, user: str, port: int, files: tuple[Path, ...], depth: int) -> tuple[Hop, ...]:
    if depth >= MOST_HOPS:
        raise VantageError(f"{alias}: more than {MOST_HOPS} hosts in its ProxyJump", "Does a host jump through itself?")
    config = _load(alias, user, port, files)
    hop = _hop(alias, config)
    jumps = str(config.get("ProxyJump") or "")
    if not jumps:
        return (hop,)
    first, *others = (_parse_jump(jump, hop) for jump in jumps.split(","))
    chain = _route(*first, files, depth + 1)
    chain += tuple(_hop(other[0], _load(*other, files)) for other in others)
    if len(chain) >= MOST_HOPS:
        raise VantageError(f"{alias}: more than {MOST_HOPS} hosts in its ProxyJump")
    return (*chain, hop)


def _parse_jump(text: str, hop: Hop) -> tuple[str, str, int]:
    value = text.strip().removeprefix("ssh://").rstrip("/")
    user, _, rest = value.rpartition("@")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]") or (rest.count(":") > 1 and not rest.startswith("[")):
        host, port = rest, ""
    if not host or host.startswith("-") or (port and not port.isdigit()):
        raise VantageError(f"{hop.alias}: can't read ProxyJump {printable(text, 80)!r}", "Write USER@HOST:PORT")
    return host.strip("[]"), user, int(port or 0)


def _load(alias: str, user: str, port: int, files: tuple[Path, ...]) -> SSHClientConfig:
    from asyncssh.config import ConfigParseError, SSHClientConfig

    given: tuple[Any, ...] = (_local_user(), user or (), alias, port or ())
    try:
        config = SSHClientConfig.load(None, files, False, False, False, *given)
        if config.has_match_final():
            config = SSHClientConfig.load(config, files, True, False, True, *given)
    except (ConfigParseError, OSError, UnicodeDecodeError) as error:
        raise VantageError(
            f"{alias}: ssh_config: {printable(error, 300)}", "`ssh -G HOST` shows what ssh reads"
        ) from error
    return cast("SSHClientConfig", config)


def _hop(alias: str, config: SSHClientConfig) -> Hop:
    host = str(config.get("Hostname") or alias)
    port = cast("int", config.get("Port", DEFAULT_PORT))
    named = cast("list[str] | None", config.get("IdentityFile"))
    if named is None:
        identities = tuple(Path.home() / ".ssh" / name for name in DEFAULT_IDENTITIES)
    else:
        identities = tuple(Path(name).expanduser() for name in named)
    known_alias = str(config.get("HostKeyAlias") or "")
    known_as = known_alias.lower() if known_alias else known_name(host, port)
    known_files = _known_files(config)
    return Hop(
        alias=alias,
        host=host,
        port=port,
        user=str(config.get("User") or _local_user()),
        known_as=known_as,
        known_files=known_files,
        known=find_known_keys(known_files, known_as),
        identities=identities,
        identities_named=named is not None,
        identities_only=bool(config.get("IdentitiesOnly")),
        agent=_agent_path(config),
    )


def _known_files(config: SSHClientConfig) -> tuple[Path, ...]:
    # `none` leaves an empty list: for us that is "nobody is known", never "anybody is".
    home = str(Path.home())
    users = cast("list[str]", config.get("UserKnownHostsFile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]))
    machines = cast(
        "list[str]", config.get("GlobalKnownHostsFile", ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"])
    )
    return tuple(Path(name.replace("%d", home)).expanduser() for name in (*users, *machines))


def _agent_path(config: SSHClientConfig) -> str:
    usual = os.environ.get("SSH_AUTH_SOCK", "")
    named = config.get("IdentityAgent", usual)
    if named is None:
        return ""
    if named == "SSH_AUTH_SOCK":
        return usual
    return os.path.expanduser(os.path.expandvars(str(named)))


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
