"""`python -m tests.oracle.netpol [--sets N] [--record FILE]`: random estates, our answers beside an independent one's.

The other is network-config-analyzer, in an environment of its own: KUBESHIELD_NETPOL_ORACLE names its Python. Exits 1
where the two disagree, and prints how. `--record` keeps estates with the other's answers, for the tests to replay.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.oracle.compare import Difference, Listing, differences, our_listing, their_listing
from tests.oracle.random_policies import VALUES, Raw, estate

VARIABLE = "KUBESHIELD_NETPOL_ORACLE"
WORKER = Path(__file__).with_name("nca_worker.py")
SECONDS = 1_200
SHOWN = 10


def answers(python: str, estates: dict[int, list[Raw]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Ask the other one of each estate; gives seeds with answers."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, objects in estates.items():
            below = Path(folder, str(seed))
            below.mkdir()
            (below / "estate.yaml").write_text("\n---\n".join(json.dumps(item) for item in objects))
        done = subprocess.run(
            [python, str(WORKER)],
            input="\n".join(str(Path(folder, str(seed))) for seed in estates),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        yield int(Path(answer["folder"]).name), answer


class Comparison(NamedTuple):
    """What came of a number of estates."""

    agreeing: dict[int, Listing]
    """Seed -> what the other says."""
    differing: dict[int, list[Difference]]
    failed: dict[int, str]


def compare(python: str, estates: dict[int, list[Raw]]) -> Comparison:
    """Ask both of every estate."""
    found = Comparison({}, {}, {})
    for seed, answer in answers(python, estates):
        if "error" in answer:
            found.failed[seed] = answer["error"]
            continue
        theirs = their_listing(answer["text"])
        differing = list(differences(estates[seed], theirs))
        if differing:
            found.differing[seed] = differing
        else:
            found.agreeing[seed] = theirs
    return found


def with_types(objects: list[Raw]) -> list[Raw]:
    """The same estate with policyTypes as the API server defaults them, where `egress: []` stands without any.

    network-config-analyzer takes an empty list for the wish to isolate; the API's default asks for a rule in it.
    """
    changed = []
    for item in objects:
        spec = item.get("spec", {})
        is_one = item["kind"] == "NetworkPolicy" and "policyTypes" not in spec and spec.get("egress") == []
        kept = {key: value for key, value in spec.items() if key != "egress"}
        changed.append({**item, "spec": {**kept, "policyTypes": ["Ingress"]}} if is_one else item)
    return changed


def with_values(objects: list[Raw]) -> list[Raw]:
    """The same estate with Exists and DoesNotExist in pod selectors said by all values that there are.

    network-config-analyzer looks for such pods in the policy's namespace only, also beside a namespaceSelector.
    """

    def said(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [said(item, key) for item in value]
        if not isinstance(value, dict):
            return value
        operator = BY_VALUES.get(value.get("operator", ""))
        if operator and key == "podSelector":
            return {"key": value["key"], "operator": operator, "values": list(VALUES)}
        return {name: said(item, name if name.endswith("Selector") else key) for name, item in value.items()}

    changed: list[Raw] = said(objects)
    return changed


BY_VALUES = {"Exists": "In", "DoesNotExist": "NotIn"}
CLASSES: dict[str, Callable[[list[Raw]], list[Raw]]] = {
    "differ by `egress: []` without policyTypes": with_types,
    "differ by Exists beside a namespaceSelector": with_values,
    "differ by both": lambda objects: with_values(with_types(objects)),
}
"""Differences that the specification decides for us -> the same estate, said so that the other understands it."""


def main(argv: list[str]) -> int:
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.netpol")
    parser.add_argument("--sets", type=int, default=2_000, help="estates (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--record", type=Path, help="write estates and answers there")
    arguments = parser.parse_args(argv)
    python = os.environ.get(VARIABLE)
    if not python:
        print(f"{VARIABLE} must name the Python that has network-config-analyzer", file=sys.stderr)
        return 2
    estates = {seed: estate(seed) for seed in range(arguments.first, arguments.first + arguments.sets)}
    found = compare(python, estates)
    counts = {"estates": len(estates), "agree": len(found.agreeing)}
    kept = [(seed, estates[seed], listing) for seed, listing in found.agreeing.items()]
    open_seeds, failed = dict(found.differing), dict(found.failed)
    for name, said in CLASSES.items():
        again = {seed: said(estates[seed]) for seed in open_seeds}
        rest = compare(python, again)
        failed |= rest.failed
        # What we say must be the same of both, or it is not the same estate.
        explained = [seed for seed in rest.agreeing if our_listing(estates[seed]) == our_listing(again[seed])]
        counts[name] = len(explained)
        kept += [(seed, again[seed], rest.agreeing[seed]) for seed in explained]
        open_seeds = {seed: differing for seed, differing in open_seeds.items() if seed not in explained}
    for seed, differing in list(open_seeds.items())[:SHOWN]:
        for difference in differing:
            print(json.dumps({"seed": seed, **difference._asdict()}))
    for seed, error in list(failed.items())[:SHOWN]:
        print(f"seed {seed}: {error}", file=sys.stderr)
    print(json.dumps({**counts, "differ otherwise": len(open_seeds), "no answer": len(failed)}))
    if arguments.record:
        lines = [{"seed": seed, "objects": objects, "listing": listing} for seed, objects, listing in kept]
        arguments.record.write_bytes(gzip.compress(json.dumps(lines, separators=(",", ":")).encode(), mtime=0))
    return 1 if open_seeds or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
