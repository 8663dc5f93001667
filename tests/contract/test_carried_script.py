"""The script that is carried: made for real targets, run by the oldest and newest Python, brought back as a column."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_every_python import Service, pythons, services  # noqa: F401 - a fixture

PROGRAM = "from kubeshield_tui.cli.main import main; main()"


async def run(*argv: str, given: bytes = b"", environment: dict[str, str] | None = None, cwd: Path | None = None):
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=cwd,
    )
    out, err = await asyncio.wait_for(process.communicate(given), 60)
    return process.returncode, out.decode(), err.decode()


async def kubeshield(*argv: str):
    return await run(sys.executable, "-c", PROGRAM, *argv)


@pytest.fixture
def targets(services: dict[str, Service], tmp_path: Path) -> Path:  # noqa: F811
    path = tmp_path / "targets"
    path.write_text("".join(f"127.0.0.1:{each.port}/{each.protocol}\n" for each in services.values()))
    return path


async def made(targets: Path) -> Path:
    code, text, err = await kubeshield("vantage", "script", "--targets", str(targets), "--timeout", "0.5")
    assert code == 0, err
    path = targets.with_name("probe.py")
    path.write_text(text)
    return path


def cells(report: str, vantage: str) -> dict[str, tuple[Any, ...]]:
    return {
        cell["endpoint"]: (cell["state"], cell["reason"], cell["posture"], cell["attempts"])
        for cell in json.loads(report)["cells"]
        if cell["vantage"] == vantage
    }


async def test_the_carried_column_equals_the_local_one(targets: Path) -> None:
    script = await made(targets)
    works = pythons()
    for number, python in enumerate(dict.fromkeys((works[0], works[-1], sys.executable))):
        result = targets.with_name(f"result-{number}.json")
        code, out, err = await run(
            python, str(script), "--yes", "--output", str(result), environment={"PATH": os.defpath}
        )
        assert code == 0, err
        assert "12 answers" in out
        assert stat.S_IMODE(result.stat().st_mode) == 0o600
        code, out, err = await kubeshield(
            "vantage", "import", str(result), "--targets", str(targets), "--timeout", "0.5"
        )
        assert (code, "12 answers" in out) == (0, True), err
        assert "other targets" not in err
        column = f"script:{result}"
        code, report, err = await kubeshield(
            "audit", "--no-discovery", "--targets", str(targets), "--timeout", "0.5", "--vantage", "local",
            "--vantage", column, "--format", "json",
        )  # fmt: skip
        assert code in {0, 1}, err
        carried = cells(report, column)
        assert len(carried) == 12
        assert carried == cells(report, "local")


async def test_without_a_yes_nothing_is_asked(targets: Path, tmp_path: Path) -> None:
    script = await made(targets)
    before = set(tmp_path.iterdir())
    code, out, err = await run(sys.executable, str(script), cwd=tmp_path)
    assert code == 2
    assert "12 targets" in out
    assert "--yes" in err
    assert set(tmp_path.iterdir()) == before


async def test_as_an_unprivileged_user(targets: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("changing the user needs root")
    script = await made(targets)
    script.chmod(0o644)
    folder = Path("/tmp")  # where any user may write
    result = folder / f"kubeshield-test-{os.getpid()}.json"
    if subprocess.run(["setpriv", "--reuid", "65534", "cat", str(script)], capture_output=True).returncode != 0:
        script = folder / f"kubeshield-test-{os.getpid()}.py"
        script.write_text(targets.with_name("probe.py").read_text())
    try:
        user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        code, out, err = await run(*user, "/usr/bin/python3", str(script), "--yes", "--output", str(result))
        assert code == 0, err
        assert "12 answers" in out
    finally:
        result.unlink(missing_ok=True)
        if script.parent == folder:
            script.unlink(missing_ok=True)


@pytest.fixture
def nowhere() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_a_cell_that_the_file_lacks_is_untested(nowhere: int, targets: Path) -> None:
    script = await made(targets)
    result = targets.with_name("result.json")
    await run(sys.executable, str(script), "--yes", "--output", str(result))
    more = targets.with_name("more")
    more.write_text(targets.read_text() + f"127.0.0.1:{nowhere}\n")
    _, report, _ = await kubeshield(
        "audit", "--no-discovery", "--targets", str(more), "--vantage", f"script:{result}", "--format", "json"
    )
    told = {cell["endpoint"]: cell for cell in json.loads(report)["cells"]}
    missing = told[f"127.0.0.1:{nowhere}/tcp"]
    assert (missing["state"], missing["verdict"]) == ("error", "untested")
    _, _, err = await kubeshield("vantage", "import", str(result), "--targets", str(more))
    assert "made for other targets" in err


async def test_an_nmap_report_is_a_column(services: dict[str, Service], targets: Path) -> None:  # noqa: F811
    report = targets.with_name("report.xml")
    ports = ",".join(str(each.port) for each in services.values() if each.protocol == "tcp")
    code, _, err = await run("nmap", "-sT", "-Pn", "-n", "-p", ports, "-oX", str(report), "127.0.0.1")
    assert code == 0, err
    _, out, err = await kubeshield(
        "audit", "--no-discovery", "--targets", str(targets), "--vantage", f"nmap:{report}", "--format", "json"
    )
    seen = {key: value[0] for key, value in cells(out, f"nmap:{report}").items()}
    for name, each in services.items():
        expected = {"closed": "closed", "full": "filtered"}.get(name, "open" if each.protocol == "tcp" else "error")
        assert seen[f"127.0.0.1:{each.port}/{each.protocol}"] == expected, name
