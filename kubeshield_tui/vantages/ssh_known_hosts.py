"""Which host keys the user's known_hosts files hold for a host, and on which line.

No library does both: the check needs the keys, the person needs file and line. A line that can't be read is passed
over, as OpenSSH does. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from kubeshield_tui.model.record import Record

DEFAULT_PORT = 22
FILE_LIMIT = 32 << 20
"""Bytes read of one known_hosts file."""


class KnownKey(Record, frozen=True):
    """One line of a known_hosts file that speaks of a host."""

    file: Path
    line: int
    marker: str
    """Empty, `cert-authority` or `revoked`."""
    text: str
    """Key type and base64, as in a .pub file."""

    @property
    def type(self) -> str:
        """Type of the key: `ssh-ed25519`, ..."""
        return self.text.partition(" ")[0]

    @property
    def fingerprint(self) -> str:
        """SHA256 fingerprint as ssh-keygen prints it."""
        return fingerprint(base64.b64decode(self.text.split()[1]))


def fingerprint(blob: bytes) -> str:
    """Return the SHA256 fingerprint of a public key's wire form, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def known_name(host: str, port: int) -> str:
    """Name under which a host stands in known_hosts: `host`, or `[host]:port` off the default port."""
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def find_known_keys(files: Iterable[Path], name: str) -> tuple[KnownKey, ...]:
    """Return the lines that speak of `name` (see `known_name`), in the order of files and lines.

    Where no line names the port, lines of the bare host count, as with ssh.
    """
    files = tuple(files)
    found = tuple(key for file in files for key in _in_file(file, name))
    if not any(key.marker != "revoked" for key in found) and name.startswith("["):
        bare = name[1:].rpartition("]:")[0]
        found += tuple(key for file in files for key in _in_file(file, bare))
    return found


def _in_file(file: Path, name: str) -> Iterable[KnownKey]:
    try:
        with file.open("rb") as opened:
            text = opened.read(FILE_LIMIT).decode("utf-8", "replace")
    except OSError:
        return
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        marker = words.pop(0)[1:] if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in {"", "cert-authority", "revoked"}:
            continue
        if _matches(words[0], name) and _is_base64(words[2]):
            yield KnownKey(file=file, line=number, marker=marker, text=f"{words[1]} {words[2]}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|"):
        return _matches_hash(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        negated = pattern.startswith("!")
        if _glob(pattern[1:] if negated else pattern, name):
            if negated:
                return False
            matched = True
    return matched


def _glob(pattern: str, name: str) -> bool:
    # Not fnmatch: it reads the brackets of [host]:port as a set of characters.
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _matches_hash(hashed: str, name: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, wanted = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), wanted)
