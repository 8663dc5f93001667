"""The whole product on the training range: every cell is what the scenario's author wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kubeshield_tui.range.scenario import Truth, load_scenario

SCENARIO = load_scenario("default")
NAMES = {(decider.layer, decider.text): name for name, decider in SCENARIO.deciders.items()}
PROGRAM = """
from kubeshield_tui.cli import demo
demo.HEADLESS_SECONDS = 300.0  # what is true of a cell does not hang on how busy this machine is
from kubeshield_tui.cli.main import main
main()
"""
pytestmark = pytest.mark.timeout(900)
RUNS = 10
AT_ONCE = 5


def demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "demo", "--headless", "--format", "json", *arguments],
        capture_output=True,
        timeout=400,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def seen(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    words = ("state", "reason", "posture", "verdict")
    return {(cell["endpoint"], cell["vantage"]): tuple(cell[word] for word in words) for cell in report["cells"]}


def judged(report: dict[str, Any]) -> dict[tuple[str, str], Truth]:
    return {(cell["endpoint"], cell["vantage"]): truth_of(cell) for cell in report["cells"]}


def truth_of(cell: dict[str, Any]) -> Truth:
    words = (cell["state"], cell["reason"], cell["posture"], cell["verdict"])
    if cell["verdict"] == "untested":
        return Truth(*words)
    return Truth(*words, cell["predicted"], str(cell["depth"]), cell["comparison"]["code"], decider_of(cell))


def decider_of(cell: dict[str, Any]) -> str:
    """The scenario's name of the first layer that denies; what the chain says where the scenario has none for it."""
    for layer in cell["layers"]:
        if layer["verdict"] == "deny" and layer["layer"] != "authentication":
            return NAMES.get((layer["layer"], layer["decider"]), layer["decider"])
    return "-"


@pytest.fixture(scope="module")
def first() -> tuple[int, dict[str, Any]]:
    return demo()


def test_every_cell_is_equal_to_the_scenarios_truth(first: tuple[int, dict[str, Any]]) -> None:
    code, report = first
    truth = {
        (endpoint, vantage): SCENARIO.truth_of(endpoint, vantage)
        for endpoint, row in SCENARIO.truth.items()
        for vantage in row
    }
    assert judged(report) == truth
    assert code == 1


def test_the_range_is_worth_training_on(first: tuple[int, dict[str, Any]]) -> None:
    _, report = first
    assert len({vantage["kind"] for vantage in report["vantages"]}) >= 3
    assert len(report["endpoints"]) >= 15
    verdicts = {cell["verdict"] for cell in report["cells"]}
    assert verdicts >= {"exposed", "blocked", "unproven", "dead", "reachable", "broken", "untested"}
    assert {cell["depth"] for cell in report["cells"]} >= {0, 1, 2, 3, None}
    compared = {cell["comparison"]["code"] for cell in report["cells"]}
    assert compared >= {"not-enforced", "rejected-elsewhere", "nothing-listens", "agrees", "compatible", "resolved"}
    assert report["simulated"]
    simulated = {cell["reason"] for cell in report["cells"] if cell["simulated"]}
    assert simulated == {"admin-prohibited", "host-prohibited", "reset"}  # nothing else is put in


def test_every_exposed_and_broken_cell_is_told_by_exactly_one_finding(first: tuple[int, dict[str, Any]]) -> None:
    _, report = first
    for code in ("exposed", "broken"):
        cells = [(cell["endpoint"], cell["vantage"]) for cell in report["cells"] if cell["verdict"] == code]
        findings = [finding for finding in report["findings"] if finding["code"] == code]
        told = [(cell["endpoint"], cell["vantage"]) for finding in findings for cell in finding["cells"]]
        assert sorted(told) == sorted(cells)
    ids = {finding["id"] for finding in report["findings"]}
    assert ids >= {"exposed:range:cloud-metadata:inside", "exposed:range:kube-apiserver:outside"}


def test_every_layer_that_denies_is_one_that_the_scenario_names(first: tuple[int, dict[str, Any]]) -> None:
    denying = {
        (layer["layer"], layer["decider"])
        for cell in first[1]["cells"]
        for layer in cell["layers"]
        if layer["verdict"] == "deny" and layer["layer"] != "authentication"
    }
    assert denying >= NAMES.keys()
    assert {layer for layer, _ in denying} == {layer for layer, _ in NAMES}


def test_no_finding_lacks_a_reason_a_way_to_see_it_or_a_remedy(first: tuple[int, dict[str, Any]]) -> None:
    assert len(first[1]["findings"]) >= 10
    for each in first[1]["findings"]:
        assert each["because"], each["id"]
        assert all(line.strip() for line in (*each["because"], *each["verify"])), each["id"]
        assert each["verify"], each["id"]
        assert each["remedy"].strip(), each["id"]


def test_policies_that_one_node_does_not_enforce_are_one_cause(first: tuple[int, dict[str, Any]]) -> None:
    (finding,) = [each for each in first[1]["findings"] if each["code"] == "not-enforced"]
    assert finding["severity"] == "critical"  # met twice, some seconds apart
    cells = {(cell["endpoint"], cell["vantage"]) for cell in finding["cells"]}
    assert cells == {key for key, truth in judged(first[1]).items() if truth.comparison == "not-enforced"}


def test_ten_runs_see_the_same(first: tuple[int, dict[str, Any]]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        others = list(pool.map(lambda _: demo(), range(RUNS - 1)))
    for code, report in others:
        assert (code, judged(report)) == (first[0], judged(first[1]))
        assert [each["id"] for each in report["findings"]] == [each["id"] for each in first[1]["findings"]]


def test_nothing_is_created_that_is_not_removed(first: tuple[int, dict[str, Any]]) -> None:
    assert first[1]["incomplete"] == []
    assert {vantage["status"] for vantage in first[1]["vantages"]} == {"ready"}
