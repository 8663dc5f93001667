"""Judge one connection by one host's rules: all legs, all branches, merged."""

from __future__ import annotations

from collections.abc import Sequence

from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.result import LEGS, Result
from kubeshield_tui.evidence.netfilter.routing import Host
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset


def evaluate(
    ruleset: Ruleset, packet: Packet, host: Host | None = None, *, legs: Sequence[str] = LEGS, explain: bool = False
) -> Result:
    """Return every outcome that the rules allow for a packet. Never raises for what a ruleset says.

    Without `host` routing is taken from the packet's hook and interfaces. `explain` looks for near misses too.
    """
    raise NotImplementedError
