"""A corpus of what the kernel did: rulesets, packets, outcomes and paths, to be replayed where there is no namespace.

JSON lines. The first is the router: its addresses, rules and routes. Every other is a ruleset as nft prints it with the
steps that paths are made of and cases: packet, what both ends saw, and by leg the numbers of the steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from kubeshield_tui.evidence.netfilter.packet import Packet
from tests.lab.netfilter.cases import Case

CORPUS = Path(__file__).with_name("corpus.jsonl")
PER_RULESET = 48
"""Cases kept of one ruleset: those whose ways differ."""
ALONE_KEPT = 6
"""One of so many rulesets that were recorded with a single case."""
PREFIX = "lab"
"""Stands for the beginning of device names, which carries a process id."""


class Recorder:
    """Writes a corpus of at most so many bytes."""

    def __init__(self, file: Path | None, limit: int, prefix: str, host: str) -> None:
        self._lines: list[str] = []
        self._left = limit
        self._prefix = prefix
        self._file = file
        self._taken = 0
        self._write({"host": host.replace(prefix, PREFIX)})

    def _write(self, told: object) -> bool:
        line = json.dumps(told, separators=(",", ":")).replace(self._prefix, PREFIX)
        if len(line) > self._left:
            return False
        self._left -= len(line) + 1
        self._lines.append(line)
        return True

    def take(self, listing: str, cases: Sequence[Case]) -> None:
        """Keep a ruleset with those of its cases that differ from one another."""
        self._taken += 1
        if len(cases) == 1 and self._taken % ALONE_KEPT:
            return
        steps: dict[tuple[str, str, int | None, str], int] = {}
        kept: dict[str, object] = {}
        for case in cases:
            paths = {leg: [steps.setdefault(step, len(steps)) for step in path] for leg, path in case.paths.items()}
            seen = [case.got_through, case.answered, case.error]
            unlike = json.dumps([paths, seen, case.packet.protocol, case.packet.hook])
            if unlike not in kept and len(kept) < PER_RULESET:
                packet = msgspec.to_builtins(case.packet)
                asked = {key: value for key, value in packet.items() if value not in (None, "", 0)}
                kept[unlike] = [asked, seen, paths]
        rules = [each for each in json.loads(listing)["nftables"] if "metainfo" not in each]
        self._write({"nftables": rules, "steps": list(steps), "cases": list(kept.values())})

    def close(self) -> None:
        """Write the file, where one was asked for."""
        if self._file is not None:
            self._file.write_text("".join(f"{line}\n" for line in self._lines), "utf-8")


def read(file: Path = CORPUS) -> tuple[str, Iterator[tuple[str, list[Case]]]]:
    """Return the router as its tools print it, and rulesets with their cases."""
    lines = file.read_text("utf-8").splitlines()
    return json.loads(lines[0])["host"], map(_entry, lines[1:])


def _entry(line: str) -> tuple[str, list[Case]]:
    told = json.loads(line)
    steps = [tuple(step) for step in told["steps"]]
    cases = []
    for number, (asked, seen, paths) in enumerate(told["cases"]):
        through, answered, error = seen
        cases.append(
            Case(
                number=number,
                where="",
                packet=msgspec.convert(asked, Packet),
                port=asked.get("sport", 0),
                got_through=through,
                answered=answered,
                error=tuple(error) if error else None,
                paths={leg: [steps[at] for at in path] for leg, path in paths.items()},
            )
        )
    return json.dumps({"nftables": told["nftables"]}), cases
