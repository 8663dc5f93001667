"""`kubeshield vantage script | import`: probes to carry to any machine, and their results carried back."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.cli import options
from kubeshield_tui.errors import ProbeError, SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.model.endpoint import Endpoint


def add_vantage(parser: argparse.ArgumentParser) -> None:
    """Flags of `vantage`."""
    what = parser.add_subparsers(dest="what", metavar="script|import", required=True)
    script = what.add_parser("script", help="print one Python file that asks the targets from wherever it is run")
    script.add_argument("--targets", type=Path, required=True, metavar="FILE", help="targets, one HOST:PORT a line")
    options.add_catalogue(script)
    script.add_argument("--timeout", type=float, metavar="S", help="seconds an attempt waits")
    script.add_argument("--attempts", type=int, metavar="N", help="attempts before silence counts")
    taken = what.add_parser("import", help="check a result file and say what it is")
    taken.add_argument("file", type=Path, metavar="FILE", help="what the script wrote")
    taken.add_argument("--targets", type=Path, metavar="FILE", help="targets that it should belong to")
    options.add_catalogue(taken)
    taken.add_argument("--timeout", type=float, metavar="S", help=argparse.SUPPRESS)
    taken.add_argument("--attempts", type=int, metavar="N", help=argparse.SUPPRESS)


def vantage(arguments: argparse.Namespace) -> int:
    """Run the command."""
    return _script(arguments) if arguments.what == "script" else _import(arguments)


def _targets(arguments: argparse.Namespace) -> tuple[Endpoint, ...]:
    from kubeshield_tui.discovery.catalogue import load
    from kubeshield_tui.discovery.targets_file import read_targets

    return read_targets(arguments.targets, load(options.catalogue_from(arguments)))


def _script(arguments: argparse.Namespace) -> int:
    from kubeshield_tui.probes.carry import script

    endpoints = _targets(arguments)
    text = script(endpoints, options.timing_from(arguments))
    if sys.stdout.isatty():
        raise SettingsError(
            "the script is 40 kB of Python, not for a terminal",
            f"Write it to a file: kubeshield vantage script --targets {arguments.targets} > probe.py",
        )
    sys.stdout.write(text)
    print(f"asks {len(endpoints)} targets; run it anywhere: python3 probe.py", file=sys.stderr)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from kubeshield_tui.probes.carry import job_hash, read_carried, warnings_of

    path = arguments.file
    try:
        carried = read_carried(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", "Check the path") from error
    except ProbeError as error:
        raise SettingsError(f"{path}: {error.message}", error.hint) from error
    expected = ""
    if arguments.targets is not None:
        expected = job_hash(_targets(arguments), options.timing_from(arguments))
    when = datetime.fromtimestamp(carried.ended, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    print(f"{len(carried.answers)} answers from {carried.host_name} ({carried.system}), {carried.runner}, {when}")
    print(f"its addresses: {', '.join(carried.addresses[:8]) or 'none told'}")
    states = Counter(str(answer.told.get("state"))[:20] for answer in carried.answers.values())
    known = ("open", "closed", "filtered", "open|filtered", "error")
    print(", ".join(f"{states[state]} {state}" for state in known if states[state]) or "no answers")
    for sentence in warnings_of(carried, time.time(), expected):
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"use it as a column:  kubeshield audit --targets FILE --vantage script:{path}")
    return 0
