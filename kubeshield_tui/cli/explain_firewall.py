"""`kubeshield explain firewall`: which rule of which chain decides on a packet, by dumps of one host."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.evidence.netfilter.evaluate import Firewall
    from kubeshield_tui.evidence.netfilter.packet import Packet
    from kubeshield_tui.evidence.netfilter.routing import Host

STDIN = "-"
SHOWN = 60


def add_firewall(parser: argparse.ArgumentParser) -> None:
    """Flags of `explain firewall`."""
    parser.description = "Which rule decides on a packet. Nothing is asked; exits 0 whatever the verdict."
    add = parser.add_argument
    add(
        "--ruleset",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="FILE",
        help="dumps of one host: nft -j list ruleset, iptables-save -c, ip6tables-save -c, ipset save; told apart by "
        "content",
    )
    add(
        "--host",
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="its addresses and routes: ip -j addr, ip -j rule, ip -j route show table all, sysctl",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--packet", metavar="K=V,...", help="src, dst, protocol, sport, dport, iif, oif, hook (input, forward, output)"
    )
    what.add_argument("--packets", metavar="FILE", help="many, one JSON object a line; - for standard input")
    add("--leg", choices=("syn",), help="judge the first packet alone, not its answer and what follows")
    add("--format", choices=("text", "json"), default="text", help="default: text")


def firewall(arguments: argparse.Namespace) -> int:
    """Run the command. Raises SettingsError naming file, line and key."""
    from kubeshield_tui.settings.runtime import tune_collector

    tune_collector()
    packets = _packets(arguments)
    judge = _firewall(arguments.ruleset, arguments.host or ())
    for packet in packets:
        _print_result(judge, packet, arguments)
    return 0


def _firewall(rulesets: Iterable[Path], hosts: Iterable[Path]) -> Firewall:
    from kubeshield_tui.evidence.netfilter.dumps import read_rulesets
    from kubeshield_tui.evidence.netfilter.evaluate import Firewall

    ruleset = read_rulesets([(f"--ruleset {path}", _text(path, "--ruleset")) for path in rulesets])
    return Firewall(ruleset, _host(list(hosts)))


def _host(paths: list[Path]) -> Host | None:
    from kubeshield_tui.evidence.netfilter.host import holds_nothing, parse_host

    if not paths:
        return None
    texts = [_text(path, "--host") for path in paths]
    for path, text in zip(paths, texts, strict=True):
        if holds_nothing(parse_host(text)):
            raise SettingsError(
                f"--host {path} holds neither addresses nor routes nor settings",
                "Expected what `ip -j addr`, `ip -j rule`, `ip -j route show table all` or sysctl prints",
            )
    host = parse_host("\n".join(texts))
    for note in host.notes:
        print(f"--host: {note}", file=sys.stderr)
    return host


def _text(path: Path, flag: str) -> str:
    """Read a file whatever its encoding. Raises SettingsError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{flag} {path}: {error.strerror or error}", "Check the path") from None
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    return data.decode(encoding, "replace").replace("\r\n", "\n")


def _packets(arguments: argparse.Namespace) -> Iterable[Packet]:
    from kubeshield_tui.evidence.netfilter.packet import parse_packet

    if arguments.packet is None:
        return _stream(arguments.packets)
    try:
        return [parse_packet(arguments.packet)]
    except SettingsError as error:
        raise SettingsError(f"--packet: {error.message}", error.hint) from None


def _stream(name: str) -> Iterator[Packet]:
    """Yield the packets of a file as they come. Raises SettingsError naming the line."""
    if name == STDIN:
        yield from read_packets(name, sys.stdin)
        return
    try:
        with Path(name).open(encoding="utf-8-sig", errors="replace") as lines:
            yield from read_packets(name, lines)
    except OSError as error:
        raise SettingsError(f"--packets {name}: {error.strerror or error}", "Check the path") from None


def read_packets(name: str, lines: Iterable[str]) -> Iterator[Packet]:
    """Yield the packets of lines, each a JSON object or blank. Raises SettingsError naming the line."""
    from kubeshield_tui.evidence.netfilter.packet import FORM, packet_from

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            if not isinstance(told, dict):
                raise SettingsError("not a JSON object", FORM)
            yield packet_from(told)
        except (ValueError, RecursionError):
            raise SettingsError(f"--packets {name}:{number}: {line.strip()[:SHOWN]!r} is not JSON", FORM) from None
        except SettingsError as error:
            raise SettingsError(f"--packets {name}:{number}: {error.message}", error.hint) from None


def _print_result(judge: Firewall, packet: Packet, arguments: argparse.Namespace) -> None:
    from kubeshield_tui.evidence.netfilter.result import LEGS, as_json
    from kubeshield_tui.evidence.netfilter.telling import result_lines

    legs = LEGS[:1] if arguments.leg else LEGS
    as_text = arguments.format == "text"
    result = judge.judge(packet, legs, explain=as_text)
    if as_text:
        print("\n".join(result_lines(packet, result)), flush=True)
        return
    told = ({"id": packet.id} if packet.id else {}) | as_json(result)
    one_line = arguments.packet is None
    print(json.dumps(told, ensure_ascii=False, indent=None if one_line else 2), flush=True)
