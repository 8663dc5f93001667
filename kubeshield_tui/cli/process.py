"""Run one coroutine as a well-behaved process: SIGINT and SIGTERM end it in order, and what it removes is removed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

INTERRUPTED = 130


def run_until_signal(main: Coroutine[Any, Any, None]) -> bool:
    """Run `main`; returns whether a signal cut it short. It is cancelled once, so that its clean-up can finish."""
    return asyncio.run(_run(main))


async def _run(main: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.ensure_future(main)
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        if not interrupted:  # a second Ctrl-C must not tear down the removal of our own pods
            interrupted = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
    return interrupted
