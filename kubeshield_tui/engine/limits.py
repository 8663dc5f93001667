"""How much may be under way at once, and how fast it may start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubeshield_tui.settings.schema import Limits

BURST_SECONDS = 0.05
"""Starts that may come at once, in seconds of the rate: smooth enough for a small firewall's tables."""


class Pacer:
    """A token bucket: `await start()` returns when one more may start."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._burst = max(rate * BURST_SECONDS, 1.0) * self._interval
        self._next = time.monotonic()

    async def start(self) -> None:
        """Wait for the next start."""
        now = time.monotonic()
        self._next = max(self._next, now - self._burst) + self._interval
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Gate:
    """Limits per target and in total, always entered in this order, so that nobody waits in a ring."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total = asyncio.Semaphore(limits.total)
        self._targets: dict[str, asyncio.Semaphore] = {}
        self._using: dict[str, int] = {}

    @asynccontextmanager
    async def target(self, host: str) -> AsyncIterator[None]:
        """Hold one place at `host` and one in total."""
        semaphore = self._targets.get(host)
        if semaphore is None:
            semaphore = self._targets[host] = asyncio.Semaphore(self._limits.per_target)
        self._using[host] = self._using.get(host, 0) + 1
        try:
            async with semaphore, self._total:
                yield
        finally:
            self._using[host] -= 1
            if not self._using[host]:  # a /16 of targets must not leave a semaphore each behind
                del self._using[host], self._targets[host]
