"""What is known of the way to a host before anything is connected to: its hops, their host keys, the keys to offer."""

from __future__ import annotations

import os
from pathlib import Path

from kubeshield_tui.errors import VantageError
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import VantageSpec
from kubeshield_tui.vantages.ssh_connection import route_to
from kubeshield_tui.vantages.ssh_keys import OfferedKeys, offered_keys
from kubeshield_tui.vantages.ssh_route import Hop


class HopWay(Record, frozen=True):
    """One host on the way."""

    shown: str
    user: str
    known: str
    """Where its host key is known from: `~/.ssh/known_hosts line 3`; empty where it is not."""
    known_as: str
    tried: tuple[str, ...]
    """Keys that would be offered."""
    unusable: tuple[str, ...]
    """Keys that can't be, with why."""


async def way_to(spec: VantageSpec, ssh_config: Path | None) -> tuple[HopWay, ...]:
    """Read files and ask the agent for each hop. Raises VantageError."""
    _, hops = await route_to(spec, ssh_config)
    return tuple([await _way(hop) for hop in hops])


async def agent_says() -> tuple[int, str]:
    """How many keys the user's agent holds, and why it can't be asked. Raises VantageError where there is none."""
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise VantageError("no agent ($SSH_AUTH_SOCK is not set)")
    keys = OfferedKeys()
    try:
        await keys.use_agent(path, set(), only=False)
    finally:
        keys.close()
    return len(keys.pairs), "; ".join(keys.unusable)


async def _way(hop: Hop) -> HopWay:
    keys = await offered_keys(hop)
    keys.close()
    known = next((key for key in hop.known if key.marker != "revoked"), None)
    return HopWay(
        shown=hop.shown,
        user=hop.user,
        known=f"{known.file} line {known.line}" if known else "",
        known_as=hop.known_as,
        tried=tuple(keys.tried),
        unusable=(*keys.unusable, *(f"{path} (has a passphrase; ssh-add it)" for path in keys.encrypted)),
    )
