"""What the doctor says of this machine, whatever it is like."""

from __future__ import annotations

import os
import resource
import socket
import sys
from pathlib import Path

import pytest

from kubeshield_tui.session.doctor import machine
from kubeshield_tui.session.doctor.check import Health


def terminal(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] = (120, 40), encoding: str = "utf-8") -> None:
    class Terminal:
        """A stream that is a terminal."""

        def __init__(self) -> None:
            self.encoding = encoding

        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 1

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size(size))


GOOD = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


@pytest.mark.parametrize(
    ("environment", "size", "encoding", "health", "said", "hint"),
    [
        (GOOD, (120, 40), "utf-8", Health.OK, "xterm-256color, 120x40, 24-bit colour, UTF-8", ""),
        ({"TERM": "screen"}, (80, 24), "utf-8", Health.OK, "256 colours or fewer", ""),
        ({**GOOD, "NO_COLOR": "1"}, (80, 24), "utf-8", Health.OK, "no colour (NO_COLOR)", ""),
        ({"TERM": "dumb"}, (80, 24), "utf-8", Health.LIMITED, "dumb", "audit"),
        ({}, (80, 24), "utf-8", Health.LIMITED, "TERM is not set", "TERM"),
        (GOOD, (79, 24), "utf-8", Health.LIMITED, "79x24", "80x24"),
        (GOOD, (200, 23), "utf-8", Health.LIMITED, "200x23", "80x24"),
        (GOOD, (80, 24), "iso-8859-1", Health.LIMITED, "ISO-8859-1", "--ascii"),
    ],
)
def test_terminals(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    size: tuple[int, int],
    encoding: str,
    health: Health,
    said: str,
    hint: str,
) -> None:
    terminal(monkeypatch, size, encoding)
    check = machine.terminal_check(environment)
    assert check.health is health
    assert said in check.said
    assert hint in check.hint
    assert bool(check.hint) is (health is not Health.OK)


@pytest.mark.parametrize(
    ("soft", "hard", "health", "said"),
    [
        (1024, 1 << 20, Health.OK, "1048576 open files"),
        (1024, resource.RLIM_INFINITY, Health.OK, "no limit on open files"),
        (1024, 4096, Health.LIMITED, "about 4032 probes at once instead of 10,000"),
        (16, 16, Health.LIMITED, "about 1 probes at once"),
    ],
)
def test_open_files(soft: int, hard: int, health: Health, said: str) -> None:
    check = machine._files(soft, hard)
    assert check.health is health
    assert said in check.said


def test_no_ipv6_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    check = machine._ipv6()
    assert check.health is Health.ABSENT
    assert "Address family not supported" in check.said


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_tools_that_are_there_not_there_broken_or_stuck(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setattr(machine, "TOOL_SECONDS", 0.3)
    program(tmp_path, "ssh", "echo 'OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.17' >&2")
    program(tmp_path, "kubectl", "exec /bin/sleep 30")
    program(tmp_path, "nft", "exit 9")
    nmap, nft, ssh, kubectl = await machine.tool_checks()
    assert (nmap.health, nmap.said) == (Health.ABSENT, "nmap (second opinions on a cell)")
    assert (nft.health, kubectl.health) == (Health.UNKNOWN, Health.UNKNOWN)
    assert (ssh.health, ssh.said) == (Health.OK, "ssh 9.2p1")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Nmap version 7.93 ( https://nmap.org )", "7.93"),
        ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
        ('Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2"}', "1.20.2"),
        ("Client Version: v1.33.4\nKustomize Version: v5.6.0", "1.33.4"),
    ],
)
def test_versions_as_programs_tell_them(said: str, version: str) -> None:
    found = machine._VERSION.search(said)
    assert found is not None
    assert found[0] == version
