"""`kubeshield explain netpol`: what network policies say of one connection, or of all."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.cli.world_source import Source, from_cluster, from_manifests, profile_from
from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.evidence.netpol.party import End, Question
    from kubeshield_tui.evidence.netpol.world import World

FORM = "Expected NAMESPACE/POD, an IP address, node:NAME or service:NAMESPACE/NAME"
PROTOCOL_WITHOUT_PORTS = "ICMP"
NAMES_SHOWN = 8


def add_netpol(parser: argparse.ArgumentParser) -> None:
    """Flags of `explain netpol`."""
    parser.description = "What network policies say of one connection, or of all. Exits 0 whatever the answer."
    add = parser.add_argument
    add("--manifests", type=Path, nargs="+", metavar="PATH", help="files, folders, or - for input")
    add("--context", action="append", default=argparse.SUPPRESS, metavar="C", help="a live cluster instead")
    add("--kubeconfig", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="kubeconfig of the live cluster")
    add("--from", dest="source", metavar="P", help="NAMESPACE/POD, an IP address or node:NAME")
    add("--to", dest="destination", metavar="P", help="the same, or service:NAMESPACE/NAME")
    add("--port", type=int, metavar="N", help="destination port; of a Service: the Service's")
    add("--protocol", metavar="T", help="TCP (default), UDP, SCTP or ICMP")
    add("--cni", action="append", default=argparse.SUPPRESS, metavar="K=V,...", help="what the network plugin chooses")
    add("--connectivity", action="store_true", help="who may connect to whom, instead of one question")
    add("--format", choices=("text", "json"), default="text", help="default: text")


def netpol(arguments: argparse.Namespace) -> int:
    """Run the command."""
    question = _question(arguments)
    profile = profile_from(arguments.cni)
    if _is_live(arguments):
        source = from_cluster(arguments.kubeconfig, tuple(arguments.context), "explain netpol")
    else:
        source = from_manifests(arguments.manifests)
    source.world.profile = profile
    source.print_problems()
    if question is None:
        _print_connectivity(source.world, as_json=arguments.format == "json")
        return 0
    for flag, end in (("--from", question.source), ("--to", question.destination)):
        _require(source, flag, end)
    _print_answer(source.world, question, as_json=arguments.format == "json")
    return 0


def _is_live(arguments: argparse.Namespace) -> bool:
    """Whether a cluster is asked instead of files. Raises SettingsError unless one of them is named."""
    is_live = bool(arguments.context) or arguments.kubeconfig is not None
    if is_live and arguments.manifests:
        raise SettingsError("--manifests stands beside --context or --kubeconfig", "Ask files, or a live cluster")
    if not is_live and not arguments.manifests:
        raise SettingsError("--manifests missing", "Name files or folders, or a live cluster with --context")
    return is_live


def _question(arguments: argparse.Namespace) -> Question | None:
    """The question of the flags, None for --connectivity. Raises SettingsError naming the flag."""
    flags = {"--from": arguments.source, "--to": arguments.destination, "--port": arguments.port}
    given = [flag for flag, value in flags.items() if value is not None]
    if arguments.connectivity:
        if given or arguments.protocol is not None:
            raise SettingsError(f"--connectivity stands beside {(*given, '--protocol')[0]}", "Ask for one of them")
        return None
    from kubeshield_tui.evidence.netpol.party import TRANSPORTS, Question

    protocol = (arguments.protocol or "TCP").upper()
    if protocol not in {*TRANSPORTS, PROTOCOL_WITHOUT_PORTS}:
        raise SettingsError(f"--protocol {arguments.protocol!r} is not a protocol", "Use TCP, UDP, SCTP or ICMP")
    needs_port = protocol != PROTOCOL_WITHOUT_PORTS
    missing = [flag for flag, value in flags.items() if value is None and (flag != "--port" or needs_port)]
    if missing:
        raise SettingsError(f"{', '.join(missing)} missing", "Give --from, --to and --port, or --connectivity")
    if needs_port and not 1 <= arguments.port <= 65535:
        raise SettingsError(f"--port {arguments.port}: expected 1 to 65535", "It is the destination's port")
    return Question(
        source=_end("--from", arguments.source),
        destination=_end("--to", arguments.destination),
        port=arguments.port if needs_port else 0,
        protocol=protocol,
    )


def _end(flag: str, text: str) -> End:
    from kubeshield_tui.evidence.netpol.party import EndKind, parse_end

    end = parse_end(text)
    if end is None:
        raise SettingsError(f"{flag} {text!r} is no end of a connection", FORM)
    if flag == "--from" and end.kind is EndKind.SERVICE:
        raise SettingsError(f"{flag} {text!r}: a Service opens no connections", "Name a pod behind it")
    return end


def _require(source: Source, flag: str, end: End) -> None:
    """Refuse an end that was not read, naming those that are like it."""
    from difflib import get_close_matches

    from kubeshield_tui.evidence.netpol.party import EndKind

    world = source.world
    match end.kind:
        case EndKind.POD:
            is_there, there = world.pod(end.namespace, end.name) is not None, [it.text for it in world.pods]
        case EndKind.NODE:
            is_there, there = world.node(end.name) is not None, [f"node:{name}" for name in world.nodes]
        case EndKind.SERVICE:
            found = world.service(end.namespace, end.name)
            is_there, there = found is not None, [f"service:{it.namespace}/{it.name}" for it in world.services]
        case EndKind.ADDRESS:
            return
    if is_there:
        return
    close = get_close_matches(end.text, there, NAMES_SHOWN, 0.4) or sorted(there)[:NAMES_SHOWN]
    hint = f"There are {', '.join(close)}" if close else "There are none; workloads count as pods of their name"
    if not source.is_whole:
        hint += "; some of it could not be read"
    raise SettingsError(f"{flag} {end.text} is not in {source.name}", hint)


def _print_answer(world: World, question: Question, *, as_json: bool) -> None:
    import json

    from kubeshield_tui.evidence.netpol.document import verdict_document, verdict_lines
    from kubeshield_tui.evidence.netpol.explain import evaluate

    verdict = evaluate(world, question)
    if as_json:
        print(json.dumps(verdict_document(verdict), indent=2, ensure_ascii=False))
    else:
        print("\n".join(verdict_lines(verdict)))


def _print_connectivity(world: World, *, as_json: bool) -> None:
    import json

    from kubeshield_tui.evidence.netpol.connectivity import connectivity
    from kubeshield_tui.evidence.netpol.document import connection_document, connection_line

    if as_json:
        items = (json.dumps(connection_document(item), ensure_ascii=False) for item in connectivity(world))
        _print_array(items)
    else:
        for connection in connectivity(world):
            print(connection_line(connection))


def _print_array(items: Iterable[str]) -> None:
    """Print a JSON array item by item: that of a large cluster does not fit into memory."""
    lines: Iterator[str] = iter(items)
    print("[", end="")
    for number, line in enumerate(lines):
        print(",\n " if number else "", line, sep="", end="")
    print("]")
