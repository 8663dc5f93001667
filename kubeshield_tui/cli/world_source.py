"""What policies are evaluated on: manifests, or a live cluster whose lists are read once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.evidence.netpol.profile import Profile
    from kubeshield_tui.evidence.netpol.world import World

PROBLEMS_SHOWN = 50


class Source(NamedTuple):
    """What the answer is made from."""

    world: World
    name: str
    """`the manifests`, `context prod`."""
    problems: tuple[str, ...]
    """What could not be used or read, one line each."""
    is_whole: bool
    """No text, and no list, was left unread."""
    server: str = ""
    """URL of the API server, as the kubeconfig has it."""

    def print_problems(self) -> None:
        """Say on standard error what could not be used."""
        for line in self.problems[:PROBLEMS_SHOWN]:
            print(line, file=sys.stderr)
        if len(self.problems) > PROBLEMS_SHOWN:
            print(f"and {len(self.problems) - PROBLEMS_SHOWN} more", file=sys.stderr)

    @property
    def server_address(self) -> str:
        """The server's address where its URL has one that is the same elsewhere; empty for a name and for loopback."""
        try:
            address = ip_address(urlsplit(self.server).hostname or "")
        except ValueError:
            return ""
        return "" if address.is_loopback or address.is_unspecified else str(address)


def from_manifests(paths: Iterable[Path]) -> Source:
    """Read files and folders. Raises SettingsError."""
    from kubeshield_tui.evidence.netpol.manifest_files import read_manifests

    reading = read_manifests(paths)
    world = reading.world()
    problems = tuple(problem.text for problem in reading.problems)
    return Source(world, "the manifests", problems, all(problem.what for problem in reading.problems))


def from_cluster(kubeconfig: Path | None, contexts: tuple[str, ...], command: str) -> Source:
    """Read a cluster, the current context unless one is named. Raises SettingsError and ClusterError."""
    import asyncio

    from kubeshield_tui.session.doors import resolve_contexts
    from kubeshield_tui.settings.schema import Settings

    found = resolve_contexts(Settings(kubeconfig=kubeconfig, contexts=contexts))
    if len(found) != 1:
        raise SettingsError(f"{command} asks one cluster at a time", "Name one --context")
    return asyncio.run(_read(found[0], kubeconfig))


async def _read(context: str, kubeconfig: Path | None) -> Source:
    from kubeshield_tui.evidence.netpol.live import read_world
    from kubeshield_tui.session.doors import connect_cluster

    client = await connect_cluster(context, kubeconfig)
    try:
        world, denied = await read_world(client)
        server = client.context.server
    finally:
        await client.close()
    problems = tuple(f"{item.cluster}: {item.what}: {item.why}; what depends on it is unknown" for item in denied)
    return Source(world, f"context {context}", problems, not denied, server)


def profile_from(texts: Iterable[str]) -> Profile:
    """What the user says of choices that are left to the network plugin. Raises SettingsError naming the flag."""
    from kubeshield_tui.cli.options import cni_from
    from kubeshield_tui.evidence.enforcement import Enforcement, stated
    from kubeshield_tui.evidence.netpol.profile import Profile

    choices = {name.replace("_", "-") for name in Profile.__struct_fields__}
    said = []
    for text in texts:
        for context, knob, value in cni_from(text):
            if context or knob not in choices:
                hint = f"What policies say hangs on {', '.join(sorted(choices))} at most; one cluster is asked"
                raise SettingsError(f"--cni {text!r} says nothing of what policies say", hint)
            said.append((knob, value))
    return stated(Enforcement(), said).profile
