"""The whole product on the training range: every cell is what the scenario's author wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from kubeshield_tui.range.scenario import load_scenario

PROGRAM = "from kubeshield_tui.cli.main import main; main()"


def demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "demo", "--headless", "--format", "json", *arguments],
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def seen(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    words = ("state", "reason", "posture", "verdict")
    return {(cell["endpoint"], cell["vantage"]): tuple(cell[word] for word in words) for cell in report["cells"]}


@pytest.fixture(scope="module")
def first() -> tuple[int, dict[str, Any]]:
    return demo()


def test_every_cell_is_equal_to_the_scenarios_truth(first: tuple[int, dict[str, Any]]) -> None:
    code, report = first
    truth = {
        (endpoint, vantage): tuple(words.split())
        for endpoint, row in load_scenario("default").truth.items()
        for vantage, words in row.items()
    }
    assert seen(report) == truth
    assert code == 1


def test_the_range_is_worth_training_on(first: tuple[int, dict[str, Any]]) -> None:
    _, report = first
    assert len({vantage["kind"] for vantage in report["vantages"]}) >= 3
    assert len(report["endpoints"]) >= 15
    verdicts = {cell["verdict"] for cell in report["cells"]}
    assert verdicts >= {"exposed", "blocked", "unproven", "dead", "reachable", "broken", "untested"}
    assert {cell["depth"] for cell in report["cells"]} >= {0, 1, None}
    assert report["simulated"]
    simulated = {cell["reason"] for cell in report["cells"] if cell["simulated"]}
    assert simulated == {"admin-prohibited", "host-prohibited"}  # nothing else is put in


def test_every_exposed_and_broken_cell_is_told_by_exactly_one_finding(first: tuple[int, dict[str, Any]]) -> None:
    _, report = first
    for code in ("exposed", "broken"):
        cells = [(cell["endpoint"], cell["vantage"]) for cell in report["cells"] if cell["verdict"] == code]
        findings = [finding for finding in report["findings"] if finding["code"] == code]
        told = [(cell["endpoint"], cell["vantage"]) for finding in findings for cell in finding["cells"]]
        assert sorted(told) == sorted(cells)
    ids = {finding["id"] for finding in report["findings"]}
    assert ids >= {"exposed:range:cloud-metadata:inside", "exposed:range:kube-apiserver:outside"}


def test_another_run_sees_the_same(first: tuple[int, dict[str, Any]]) -> None:
    code, report = demo()
    assert (code, seen(report)) == (first[0], seen(first[1]))
    assert [finding["id"] for finding in report["findings"]] == [finding["id"] for finding in first[1]["findings"]]


def test_nothing_is_created_that_is_not_removed(first: tuple[int, dict[str, Any]]) -> None:
    assert first[1]["incomplete"] == []
    assert {vantage["status"] for vantage in first[1]["vantages"]} == {"ready"}
