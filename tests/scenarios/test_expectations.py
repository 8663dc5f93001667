"""Expectations through the whole product on the training range: what is declared decides, and the line is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_truth import PROGRAM

pytestmark = pytest.mark.timeout(900)
FILE = """\
# one component may reach the API, and nobody else

[[rule]]
name = "nobody"
must = "blocked"
to.component = "kube-apiserver"

[[rule]]
name = "web alone"
must = "reachable"
because = "it lists its own endpoints"
to.component = "kube-apiserver"
from = { namespace = "shop", labels = { app = "web" } }

[[rule]]
name = "shop is for shop"
must = "blocked"
to.namespace = "shop"
from.same_namespace = false

[[rule]]
name = "no such place"
must = "blocked"
to.namespace = "shp"

[[exception]]
name = "the old agent"
to.component = "kubelet-read-only"
owner = "platform@example.org"
reason = "replaced in the next release"
expires = 9999-12-31

[[exception]]
name = "long gone"
to.component = "cloud-metadata"
owner = "platform@example.org"
reason = "none"
expires = 2001-01-01
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def demo(*arguments: str) -> tuple[dict[str, Any], str]:
    done = run("demo", "--headless", "--format", "json", *arguments)
    return json.loads(done.stdout), done.stderr


def words(report: dict[str, Any], *names: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {(cell["endpoint"], cell["vantage"]): tuple(cell[name] for name in names) for cell in report["cells"]}


def test_what_is_declared_decides_and_its_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "expect.toml"
    path.write_text(FILE)
    report, said = demo("--expect", str(path))
    cells = words(report, "expected", "expected_by", "verdict")
    api = "range/kube-apiserver/Service:443/tcp"
    assert cells[api, "pod:shop"] == ("blocked", 'expect.toml:3 "nobody"', "exposed")
    assert cells[api, "pod:shop/web-6d4f9"] == ("reachable", 'expect.toml:8 "web alone"', "reachable")
    assert cells["range/kube-apiserver/kubeconfig:6443/tcp", "local"][:2] == ("blocked", 'expect.toml:3 "nobody"')
    web = "range/shop/Service/web@10.0.0.11:30080/tcp"
    assert cells[web, "pod:shop"] == ("any", "nothing declared", "reachable")
    assert cells[web, "pod:payments"] == ("blocked", 'expect.toml:15 "shop is for shop"', "blocked")
    assert cells[web, "local"][:2] == ("blocked", 'expect.toml:15 "shop is for shop"')
    read_only = "range/Node/n2:10255/tcp"
    assert cells[read_only, "local"] == ("any", 'expect.toml:26 "the old agent"', "reachable")
    metadata = "range/cloud-metadata:80/tcp"
    assert cells[metadata, "pod:shop"][2] == "exposed"
    cell = {"endpoint": metadata, "vantage": "pod:shop"}
    (finding,) = [each for each in report["findings"] if cell in each["cells"]]
    assert any("long gone" in line and "2001-01-01" in line for line in finding["because"])
    lines = {line["name"]: line for line in report["expectations"]}
    assert lines["no such place"]["notes"] == ["unused: it speaks of no endpoint and vantage of this run"]
    assert lines["the old agent"]["waiver"]["owner"] == "platform@example.org"
    assert lines["the old agent"]["decided"] == 12
    for note in ('expect.toml:21 "no such place": unused', 'expect.toml:33 "long gone": expired'):
        assert note in said


def test_the_file_that_init_writes_changes_nothing(tmp_path: Path) -> None:
    record, path = tmp_path / "record.ndjson", tmp_path / "expect.toml"
    before, _ = demo("--record", str(record))
    assert run("expect", "init", "--from", str(record), "--output", str(path)).returncode == 0
    after, _ = demo("--expect", str(path))
    names = ("expected", "expected_by", "undecided", "verdict")
    assert words(after, *names) == words(before, *names)
    assert [each["severity"] for each in after["findings"]] == [each["severity"] for each in before["findings"]]


def test_a_file_that_is_wrong_ends_it_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "expect.toml"
    path.write_text(FILE.replace("kube-apiserver", "kube-apisever", 1))
    done = run("demo", "--headless", "--expect", str(path))
    assert done.returncode == 2
    assert f"{path}:6: " in done.stderr
    assert "kube-apiserver" in done.stderr
    assert done.stdout == ""
