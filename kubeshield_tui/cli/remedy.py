"""`kubeshield remedy api|metadata`: the policy that puts a namespace behind the walls, and what it would cut."""

from __future__ import annotations

import argparse
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.cli import options
from kubeshield_tui.cli.world_source import Source, from_cluster, from_manifests, profile_from
from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.evidence.netpol.world import World
    from kubeshield_tui.judgement.leaving import Closed
    from kubeshield_tui.judgement.remedy import Remedy

API, METADATA = "api", "metadata"
NAMES_SHOWN = 8
NOTHING_TO_WRITE = 1
"""Exit code where it stays open and no new policy can close it."""


def add_remedy(parser: argparse.ArgumentParser) -> None:
    """Flags of `remedy`."""
    add = parser.add_argument
    add("walls", nargs="+", choices=(API, METADATA), metavar="api|metadata", help="what to close; both: one policy")
    add("-n", "--namespace", required=True, metavar="NAMESPACE", help="the namespace whose pods it is closed to")
    add("--manifests", type=Path, nargs="+", metavar="PATH", help="files, folders, or - for input; not a live cluster")
    add("--context", action="append", default=argparse.SUPPRESS, metavar="C", help="context of the kubeconfig")
    add("--kubeconfig", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="kubeconfig")
    add("--address", action="append", default=[], metavar="IP",
        help="one more address of the API, such as that of its load balancer; again for several")  # fmt: skip
    add("--cni", action="append", default=argparse.SUPPRESS, metavar="K=V,...", help="what the network plugin chooses")
    options.add_catalogue(parser, again=True)
    add("--output", type=Path, metavar="FILE", help="write there instead of standard output, where nothing is yet")


def remedy(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 where it stays open and no new policy can close it."""
    from kubeshield_tui.judgement.remedy import close_leaving

    namespace = options.namespace_from(arguments.namespace, "--namespace")
    named = [_address(text) for text in arguments.address]
    profile = profile_from(arguments.cni)
    source = _source(arguments)
    source.world.profile = profile
    source.print_problems()
    _require_namespace(source, namespace)
    closed = _closed(arguments, source, named)
    found = close_leaving(source.world, namespace, closed)
    _say(source.world, found, closed)
    if found.draft is None:
        return NOTHING_TO_WRITE if found.admitting else 0
    _write(found.draft.text, arguments.output)
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    """Raises SettingsError and ClusterError."""
    if not arguments.manifests:
        return from_cluster(arguments.kubeconfig, tuple(arguments.context), "remedy")
    if arguments.context or arguments.kubeconfig is not None:
        raise SettingsError("--manifests stands beside --context or --kubeconfig", "Ask files, or a live cluster")
    return from_manifests(arguments.manifests)


def _address(text: str) -> str:
    """Raises SettingsError for what is no address."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise SettingsError(
            f"--address {text!r} is no IP address", "Policies know no names: give the addresses that it stands for"
        ) from None


def _require_namespace(source: Source, namespace: str) -> None:
    """Raises SettingsError for a namespace that is not there, naming those that are like it."""
    from difflib import get_close_matches

    there = {*source.world.namespaces, *(end.namespace for end in source.world.pods)}
    if namespace in there:
        return
    close = get_close_matches(namespace, there, NAMES_SHOWN, 0.4) or sorted(there)[:NAMES_SHOWN]
    hint = f"There are {', '.join(close)}" if close else "There are none"
    if not source.is_whole:
        hint += "; some of it could not be read"
    raise SettingsError(f"--namespace {namespace} is not in {source.name}", hint)


def _closed(arguments: argparse.Namespace, source: Source, named: list[str]) -> list[Closed]:
    """Raises SettingsError where it is not known at which addresses the API is reached."""
    from kubeshield_tui.discovery.catalogue import load
    from kubeshield_tui.judgement.walls import api_addresses, metadata_addresses

    closed: list[Closed] = []
    if API in arguments.walls:
        known = api_addresses(source.world, [*named, *filter(None, [source.server_address])])
        if not known:
            raise SettingsError(
                f"at which addresses the API is reached is not told by {source.name}",
                "Add Service and EndpointSlice default/kubernetes to what is read, or name them with --address",
            )
        closed += known
    elif named:
        raise SettingsError("--address has no meaning without api", "It names addresses of the API")
    if METADATA in arguments.walls:
        closed += metadata_addresses(load(options.catalogue_from(arguments)))
    return closed


def _say(world: World, found: Remedy, closed: list[Closed]) -> None:
    from kubeshield_tui.judgement.leaving import versions_of
    from kubeshield_tui.judgement.possible import kinds_of, possible_flows
    from kubeshield_tui.judgement.trial import try_policy
    from kubeshield_tui.report.remedy import remedy_lines, trial_lines

    lines = list(remedy_lines(found))
    draft = found.draft
    if draft is not None:
        used = versions_of(world)
        closed = [item for item in closed if ip_address(item.address).version in used]
        trial = try_policy(world, draft.policy, possible_flows(world, draft, closed))
        alike = {text: kind.alike for text, kind in kinds_of(world.pods_in(draft.namespace)).items()}
        lines += trial_lines(trial, alike)
    for line in lines:
        print(line, file=sys.stderr)


def _write(text: str, output: Path | None) -> None:
    """Raises SettingsError for a file that can't be written."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        hint = (
            "Name a file that does not exist" if isinstance(error, FileExistsError) else "Name one that can be written"
        )
        raise SettingsError(f"--output {output}: {error.strerror}", hint) from error
    print(f"kubeshield: wrote {output}", file=sys.stderr)
