"""Answers that were carried here: a column of results from a machine that nothing reaches, or from an nmap report.

Nothing is asked anew: each cell has the time at which it was answered there, so that proof never mixes it with today.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from kubeshield_tui.errors import ProbeError, VantageError
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe
from kubeshield_tui.model.vantage import VantageFacts, VantageKind, VantageSpec
from kubeshield_tui.probes import protocol
from kubeshield_tui.probes.carry import Carried, read_carried, read_nmap, warnings_of


class RecordedVantage:
    """Answers from a file."""

    def __init__(self, spec: VantageSpec) -> None:
        self.spec = spec
        self._carried: Carried | None = None

    async def open(self) -> VantageFacts:
        """Read the file. Raises VantageError naming it."""
        carried = self._carried = await asyncio.to_thread(read_file, self.spec)
        when = datetime.fromtimestamp(carried.ended or carried.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
        cannot_see = [f"anything after {when}: nothing is asked anew"]
        if carried.attempts_unknown:
            cannot_see.append("how often nmap asked before it called a port silent; handshakes, certificates, HTTP")
        cannot_see.extend(f"warning: {said}" for said in warnings_of(carried, time.time()))
        return VantageFacts(
            runner=carried.runner,
            cannot_see=tuple(cannot_see),
            host_name=carried.host_name,
            user=carried.user,
            addresses=carried.addresses,
        )

    async def ask(self, probe: Probe) -> Observation:
        """Return the recorded answer; an error where there is none."""
        assert self._carried is not None
        found = self._carried.answers.get((probe.host.lower(), probe.port, probe.protocol))
        if found is None:
            raise ProbeError(f"{self.spec.file} holds no answer for {probe.host}:{probe.port}/{probe.protocol}")
        return protocol.observation(probe, found.told, found.at, protocol.line(**found.told))

    async def close(self) -> None:
        """Nothing is held open."""


def read_file(spec: VantageSpec) -> Carried:
    """Read a vantage's file. Raises VantageError naming it."""
    path = Path(spec.file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VantageError(f"{spec.text}: {error.strerror}", "Check the path") from error
    try:
        return read_nmap(data) if spec.kind is VantageKind.NMAP else read_carried(data)
    except ProbeError as error:
        raise VantageError(f"{path}: {error.message}", error.hint) from error
