"""What answers probes at a vantage: the agent, or a rung of the ladder below it where no agent can run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts
from kubeshield_tui.vantages.channel import Channel

Runner = Callable[[Sequence[str]], Awaitable[Channel]]
"""Starts a program at the vantage and returns its standard input and output. Raises VantageError."""


class Asker(Protocol):
    """Answers probes until it is closed or the vantage is lost."""

    facts: VantageFacts
    """`runner` names it, `cannot_see` says in sentences what it can't tell apart."""

    async def ask(self, probe: Probe) -> Observation:
        """Send one probe; many may be under way at once. Raises VantageLost when the control channel ended.

        Cancelling it gives the probe up.
        """
        ...

    async def close(self) -> None:
        """End what runs there. Never raises; safe to call twice."""
        ...
