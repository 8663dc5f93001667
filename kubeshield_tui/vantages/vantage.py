"""What every vantage offers. The engine knows nothing else of them."""

from __future__ import annotations

from typing import Protocol

from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts, VantageSpec


class VantagePoint(Protocol):
    """A place that probes can be sent from."""

    spec: VantageSpec

    async def open(self) -> VantageFacts:
        """Connect, start the agent and wait for its hello.

        May be called again after the vantage was lost. Has a time limit of its own. Raises VantageError.
        """
        ...

    async def ask(self, probe: Probe) -> Observation:
        """Send one probe and return its answer; thousands may be under way at once.

        What the network did is in the Observation. Raises VantageLost when the control channel ended before the answer.
        Cancelling it cancels the probe at the vantage.
        """
        ...

    async def close(self) -> None:
        """End the agent, the connection and remove what was created. Never raises; safe to call twice."""
        ...
