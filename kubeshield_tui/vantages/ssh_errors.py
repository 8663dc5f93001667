"""Failed log-ins as sentences: which host, what happened, what to do. The one place that maps the library's errors."""

from __future__ import annotations

import errno
import socket

from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.ssh_keys import OfferedKeys
from kubeshield_tui.vantages.ssh_known_hosts import KnownKey
from kubeshield_tui.vantages.ssh_route import Hop

OfferedHostKey = tuple[str, str]
"""Type and SHA256 fingerprint of a host key that was refused."""

_FORBIDDEN = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED. Source: RFC 4254, 5.1."""


def explain(
    error: Exception, hop: Hop, before: Hop | None, offered: OfferedHostKey | None, keys: OfferedKeys | None
) -> VantageError:
    """Return the sentence for a failed log-in to `hop`, reached through `before`."""
    import asyncssh

    match error:
        case asyncssh.HostKeyNotVerifiable():
            return _host_key(error, hop, offered)
        case asyncssh.KeyExchangeFailed():
            return VantageError(
                f"{hop.shown}: no common cryptography ({printable(error, 200)})",
                f"`ssh -v {hop.alias}` shows both lists",
            )
        case asyncssh.PermissionDenied():
            return _permission(hop, keys)
        case asyncssh.ChannelOpenError() if before is not None:
            return _tunnel(error, hop, before)
        case socket.gaierror():
            return VantageError(
                f"{hop.shown}: unknown host ({printable(error.strerror, 100)})",
                "Check the name, or HostName in ssh_config",
            )
        case TimeoutError():
            return VantageError(
                f"{hop.shown}: no answer to the log-in in time",
                "Is it up, and reachable from here? A firewall may drop",
            )
        case OSError():
            return _network(error, hop)
        case asyncssh.Error():
            return VantageError(
                f"{hop.shown}: the connection ended during log-in ({printable(error, 200)})",
                "Many log-ins at once (MaxStartups), a ban after failed ones, or no SSH server there",
            )
        case _:
            return VantageError(f"{hop.shown}: can't log in ({printable(error, 300)})", f"Try `ssh -v {hop.alias}`")


def _network(error: OSError, hop: Hop) -> VantageError:
    # With several addresses asyncio joins their errors in one text and leaves errno empty.
    if error.errno == errno.ECONNREFUSED or "refused" in str(error) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return VantageError(
            f"{hop.shown}: connection refused on port {hop.port}", "Is sshd running there, on this port?"
        )
    return VantageError(
        f"{hop.shown}: can't connect ({printable(error.strerror or error, 200)})", "Check the network, host and port"
    )


def _tunnel(error: Exception, hop: Hop, before: Hop) -> VantageError:
    if getattr(error, "code", 0) == _FORBIDDEN:
        return VantageError(
            f"{before.shown} does not forward to {hop.shown}", "Allow it there: AllowTcpForwarding, PermitOpen"
        )
    return VantageError(
        f"{before.shown} can't reach {hop.shown} ({printable(error, 200)})",
        "Check HostName and Port as seen from there",
    )


def _permission(hop: Hop, keys: OfferedKeys | None) -> VantageError:
    tried = ", ".join(keys.tried) if keys and keys.tried else "no key at all"
    message = f"{hop.user}@{hop.shown}: log-in refused; tried {tried}"
    if keys and keys.unusable:
        message += f"; not usable: {', '.join(keys.unusable)}"
    if keys and keys.encrypted:
        names = ", ".join(str(path) for path in keys.encrypted)
        return VantageError(
            f"{message}; {names} has a passphrase, which is never asked for here",
            f"Use ssh-agent: `ssh-add {keys.encrypted[0]}`, then try again",
        )
    return VantageError(message, "Name the key in ssh_config (IdentityFile) or add it with ssh-add; check User")


def _host_key(error: Exception, hop: Hop, offered: OfferedHostKey | None) -> VantageError:
    shown = f"{offered[0]} {offered[1]}" if offered else printable(error, 200)
    if "revoked" in str(error).lower():
        line = next((key for key in hop.known if key.marker == "revoked"), None)
        where = f" ({line.file} line {line.line})" if line else ""
        return VantageError(f"{hop.shown}: its host key is revoked{where}; refused", "Ask who runs that host")
    known = [key for key in hop.known if not key.marker]
    if offered and known:
        # The line for the same type is the one that contradicts; another type's is the next best.
        return _changed(hop, shown, next((key for key in known if key.type == offered[0]), known[0]))
    files = ", ".join(str(path) for path in hop.known_files) or "no known_hosts file"
    port = f"-p {hop.port} " if hop.port != 22 else ""
    return VantageError(
        f"{hop.shown}: unknown host key {shown}; refused ({hop.known_as} is not in {files})",
        f"Compare the fingerprint with the host's own, then connect once with `ssh {hop.alias}`, "
        f"or add what `ssh-keyscan {port}{hop.host}` prints",
    )


def _changed(hop: Hop, shown: str, known: KnownKey) -> VantageError:
    return VantageError(
        f"{hop.shown}: the host key CHANGED: it offers {shown}, but {known.file} line {known.line} has "
        f"{known.type} {known.fingerprint}; refused, someone may be in between",
        f"If you know why it changed: `ssh-keygen -f {known.file} -R '{hop.known_as}'`, then connect once with ssh "
        "and compare the fingerprint",
    )
