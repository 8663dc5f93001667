"""Names and routes as a vantage sees them, asked through its shell."""

from __future__ import annotations

import asyncio
import contextlib
import time
from ipaddress import ip_address
from typing import Any

from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages.shell import Shell
from kubeshield_tui.vantages.shell_reading import Routes, read_routes

RESOLVE_SECONDS = 10.0
"""Two tries of five seconds, as resolv.conf(5) has them."""
ROUTES_SECONDS = 5.0
"""How long the routing tables are taken to stay as they were read."""


class Names:
    """Looks up names and routes of one vantage."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._routes = Routes()
        self._leads: dict[str, bool | None] = {}
        self._read = float("-inf")
        self._reading = asyncio.Lock()

    async def resolve(self, host: str) -> tuple[dict[str, Any], str]:
        """Begin a result and return it with the address of `host`, empty where only a tool can look it up.

        The result's `state` is None while nothing is decided; a name that does not resolve decides it.
        """
        told: dict[str, Any] = {"state": None, "attempts": [], "steps": [], "peer": "", "detail": ""}
        with contextlib.suppress(ValueError):
            ip_address(host)
            told["peer"] = host
            return told, host
        if "getent" not in self._shell.survey.tools:
            return told, ""
        done = await self._shell.job("g", host, limit=RESOLVE_SECONDS)
        address = _first(done.output) if done is not None else ""
        ms = round((done.seconds if done is not None else RESOLVE_SECONDS) * 1000, 1)
        told["steps"].append(["resolve", ms, bool(address), address])
        told["peer"] = address
        if not address:
            said = f": {done.text}" if done is not None and done.text else ""
            told.update(state=State.ERROR, reason=Reason.DNS_FAILURE, detail=f"getent finds no address{said}")
        return told, address

    async def leads_to(self, host: str) -> bool | None:
        """Whether the vantage has a route to an address, None where that can't be known. Raises VantageLost."""
        if host in self._shell.survey.addresses:
            return True
        async with self._reading:
            if time.monotonic() - self._read > ROUTES_SECONDS:
                done = await self._shell.job("t", limit=RESOLVE_SECONDS)
                self._routes = read_routes(done.output) if done is not None else Routes()
                self._leads.clear()
                self._read = time.monotonic()
        if host not in self._leads:
            self._leads[host] = self._routes.leads_to(host)
        return self._leads[host]


def _first(output: bytes) -> str:
    """The first address that getent lists."""
    for line in output.splitlines():
        word = printable(line.split(maxsplit=1)[0] if line.strip() else b"", 64)
        with contextlib.suppress(ValueError):
            return str(ip_address(word))
    return ""
