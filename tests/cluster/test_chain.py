"""Chains on a real cluster: what policies and nodes' rules predict is what is met, and what is not enforced is found.

The kit's enforcer keeps its rules in a table of its own on each node: read over SSH, it is no second wall.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import kit

API = "Service/api:443/tcp"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert kit.own_objects() == []


def audit(directory: Path, web: str, *more: str) -> kit.Audit:
    return kit.audit(
        "--ssh-config", str(kit.ssh_config(directory)), "--yes", "--vantage", "pod:shop",
        "--vantage", f"pod:shop/{web}", "--vantage", "pod:payments", *more,
    )  # fmt: skip


def layer(cell: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in cell["layers"] if each["layer"] == name]
    return dict(found)


def causes(report: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["code"] == code]


def test_a_policy_that_blocks_is_named_and_is_the_one_thing_that_does(tmp_path: Path, web: str) -> None:
    told = audit(tmp_path, web, "--cni", "enforces=yes", "--cni", "deny-style=drop", "--read-firewalls",
                 "--vantage", "ssh:node1", "--vantage", "ssh:node2")  # fmt: skip
    cell = told.cell(API, "pod:shop")
    ingress = layer(cell, "ingress-policy")
    assert (cell["predicted"], cell["verdict"], cell["depth"]) == ("deny", "blocked", 1), cell
    assert (ingress["verdict"], ingress["enforced"]) == ("deny", True)
    names = {ref.rpartition("/")[2] for ref in ingress["refs"]}
    assert names, ingress
    assert any(name in ingress["decider"] for name in names)
    assert cell["predicted_because"].startswith("ingress-policy denies: ")
    firewalls = [each["verdict"] for each in cell["layers"] if each["layer"].endswith("firewall")]
    assert "deny" not in firewalls, cell["layers"]  # the enforcer's own table is the policy over again
    assert cell["comparison"]["code"] in {"agrees", "compatible"}, cell
    open_ = told.cell(API, f"pod:shop/{web}")
    assert (open_["state"], layer(open_, "ingress-policy")["verdict"]) == ("open", "allow")
    assert open_["predicted"] != "deny"
    assert layer(told.cell(API, "pod:payments"), "egress-policy")["verdict"] == "deny"
    assert causes(told.report, "not-enforced") == []
    assert causes(told.report, "bypassed") == [], json.dumps(causes(told.report, "bypassed"), indent=1)


@pytest.mark.usefixtures("policies_off")
def test_with_enforcement_off_what_gets_through_is_found_and_critical(tmp_path: Path, web: str) -> None:
    told = audit(tmp_path, web)
    cell = told.cell(API, "pod:shop")
    assert (cell["state"], cell["predicted"], cell["comparison"]["code"]) == ("open", "deny", "not-enforced"), cell
    found = causes(told.report, "not-enforced")
    assert found
    assert {finding["severity"] for finding in found} == {"critical"}  # each was asked twice
    assert all(finding["because"] and finding["verify"] and finding["remedy"] for finding in found)
    assert told.cell(API, f"pod:shop/{web}")["comparison"]["code"] != "not-enforced"
