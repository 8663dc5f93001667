"""Lines of known_hosts, held against what ssh-keygen finds in the same file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kubeshield_tui.vantages.ssh_known_hosts import find_known_keys, known_name

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPhvE6SX5CyHe7Jq8vxsBbOXtxaFOt2ZyrsA5xPbfXVb"


def lines(tmp_path: Path, text: str, name: str) -> list[int]:
    file = tmp_path / "known_hosts"
    file.write_text(text)
    return [key.line for key in find_known_keys([tmp_path / "missing", file], name)]


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("host", "host", True),
        ("HOST", "host", True),
        ("other,host", "host", True),
        ("host", "host.example", False),
        ("*.example", "host.example", True),
        ("h?st", "host", True),
        ("*,!host", "host", False),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("[ho*]:2222", "[host]:2222", True),
        ("host", "[host]:2222", True),
        ("[h]:22,x", "hx", False),
        ("|1|broken", "host", False),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, name: str, found: bool) -> None:
    assert bool(lines(tmp_path, f"{pattern} {KEY}\n", name)) is found


def test_broken_lines_do_not_hide_good_ones(tmp_path: Path) -> None:
    broken = f"\n# host {KEY}\nhost\nhost ssh-ed25519\nhost ssh-ed25519 ###\n@strange host {KEY}\n"
    text = f"{broken}@revoked host {KEY}\nhost {KEY} me\n"
    assert lines(tmp_path, text, "host") == [7, 8]


def test_a_line_for_the_port_hides_the_bare_host(tmp_path: Path) -> None:
    assert lines(tmp_path, f"host {KEY}\n[host]:2222 {KEY}\n", "[host]:2222") == [2]


def test_revoked_for_the_bare_host_counts_with_a_port_line_absent(tmp_path: Path) -> None:
    assert lines(tmp_path, f"@revoked host {KEY}\n", "[host]:2222") == [1]


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen: the contract tests fail for that")
@pytest.mark.parametrize("name", ["host", "[host]:2222", "10.0.0.1"])
def test_hashed_lines_as_ssh_keygen_writes_them(tmp_path: Path, name: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} {KEY}\nunrelated {KEY}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    (found,) = find_known_keys([file], name)
    (tmp_path / "key.pub").write_text(KEY)
    told = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], check=True, capture_output=True, text=True)
    assert (found.line, found.fingerprint) == (1, told.stdout.split()[1])


def test_names() -> None:
    assert known_name("Host", 22) == "host"
    assert known_name("Host", 2222) == "[host]:2222"
