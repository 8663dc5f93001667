"""Reading a host: what it says when it refuses, and that nothing read is never taken for `accept`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from kubeshield_tui.errors import VantageLost
from kubeshield_tui.evidence.collect.host import collect_host
from kubeshield_tui.evidence.collect.script import COMMANDS, MARK, connections, script, take_apart
from kubeshield_tui.model.evidence import Source, SourceStatus
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.range.tools import write_tools
from kubeshield_tui.vantages.ssh_channel import CommandResult

NFT = {"nftables": [{"metainfo": {"json_schema_version": 1}}, {"rule": {"comment": "naïve \x1b[2J", "handle": 2**53}}]}
DENIED = "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed"


class Shell:
    """The real script in a real shell, with tools of the test's; `user` is what `id -u` says."""

    def __init__(self, folder: Path, printed: dict[str, str], user: int = 0) -> None:
        self.tools = write_tools(folder / "tools", printed)
        self.program("id", f"echo {user}")
        self.limit = 1 << 20

    def program(self, name: str, body: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o700)

    async def __call__(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            *argv[1:],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": f"{self.tools}:{os.defpath}"},
        )
        out, errors = await process.communicate()
        cut = len(out) > self.limit
        return CommandResult(
            exit_status=process.returncode or 0, stdout=out[: self.limit], stderr=errors, truncated=cut
        )


async def read(shell: Shell) -> dict[str, Source]:
    return {source.item: source for source in await collect_host(VantageId("ssh:n1"), "n1", shell)}


async def test_json_is_one_object_a_line_faithful_and_printable(tmp_path: Path) -> None:
    found = await read(Shell(tmp_path, {"nft -j list ruleset": json.dumps(NFT)}))
    ruleset = found["nft"]
    assert (ruleset.status, ruleset.tool) == (SourceStatus.OK, "nft -j list ruleset")
    assert len(ruleset.text.splitlines()) == 4
    assert json.loads(ruleset.text.replace("␛", "\x1b")) == NFT
    assert "\x1b" not in ruleset.text
    assert ruleset.at > 1_000_000_000


async def test_every_item_has_a_status_and_all_but_those_read_say_why(tmp_path: Path) -> None:
    found = await read(Shell(tmp_path, {}))
    assert list(found) == list(COMMANDS)
    assert {source.status for source in found.values()} == {SourceStatus.MISSING_TOOL}
    assert "nft: not found" in found["nft"].detail


async def test_denied_then_sudo(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {}, user=1000)
    shell.program("nft", f'if [ -n "$ROOT" ]; then echo \'{json.dumps(NFT)}\'; else echo "{DENIED}" >&2; exit 1; fi')
    shell.program("sudo", '[ "$1" = -n ] || exit 9; shift; ROOT=1 exec "$@"')
    ruleset = (await read(shell))["nft"]
    assert (ruleset.status, ruleset.tool) == (SourceStatus.OK, "sudo -n nft -j list ruleset")
    assert DENIED.split("\n")[0] not in ruleset.text


@pytest.mark.parametrize("sudo", ["sudo: a password is required", "x may not run sudo on n1."])
async def test_denied_with_sudo_too(tmp_path: Path, sudo: str) -> None:
    shell = Shell(tmp_path, {}, user=1000)
    shell.program("iptables-save", 'echo "Permission denied (you must be root)" >&2; exit 4')
    shell.program("sudo", f'echo "{sudo}" >&2; exit 1')
    source = (await read(shell))["iptables"]
    assert (source.status, source.text) == (SourceStatus.DENIED, "")
    assert sudo in source.detail


async def test_root_never_asks_sudo(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {}, user=0)
    shell.program("nft", "exit 1")
    shell.program("sudo", "echo touched >&2")
    assert "touched" not in (await read(shell))["nft"].detail


async def test_no_rules_of_iptables_is_an_answer_and_of_nft_is_none(tmp_path: Path) -> None:
    found = await read(Shell(tmp_path, {"nft -j list ruleset": "", "iptables-save -c": "", "ipset save": ""}))
    assert (found["iptables"].status, found["iptables"].text) == (SourceStatus.OK, "")
    assert "there are none" in found["ipset"].detail
    assert found["nft"].status is SourceStatus.ERROR


async def test_what_was_cut_off_is_an_error_and_what_came_before_counts(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"nft -j list ruleset": json.dumps(NFT), "iptables-save -c": "*filter\n" * 500})
    shell.limit = 2_000
    found = await read(shell)
    assert found["nft"].status is SourceStatus.OK
    assert (found["iptables"].status, found["iptables"].text) == (SourceStatus.ERROR, "")
    assert "cut off" in found["iptables"].detail
    assert "only the first" in found["routes"].detail


async def test_a_warning_of_legacy_tables_is_kept(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {})
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them"
    shell.program("iptables-save", f'printf "*filter\\nCOMMIT\\n"; echo "{warning}" >&2')
    source = (await read(shell))["iptables"]
    assert source.text == "*filter\nCOMMIT"
    assert warning in source.detail


async def test_a_lost_host_is_an_error_each_never_an_exception() -> None:
    async def lost(argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        raise VantageLost("n1: the connection ended")

    sources = await collect_host(VantageId("ssh:n1"), "n1", lost)
    assert {source.status for source in sources} == {SourceStatus.ERROR}
    assert all("the connection ended" in source.detail for source in sources)


async def test_a_host_that_runs_something_else_says_so() -> None:
    async def menu(argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        return CommandResult(exit_status=0, stdout=b"Welcome to the appliance", stderr=b"this account is restricted")

    sources = await collect_host(VantageId("ssh:n1"), "n1", menu)
    assert {source.status for source in sources} == {SourceStatus.ERROR}
    assert "this account is restricted" in sources[0].detail


def test_connections_are_read_on_demand_only() -> None:
    assert "conntrack -L" not in script()
    assert "--orig-dst 10.0.0.1 --dport 443" in script({"conntrack": connections("ip", "tcp", "10.0.0.1", 443)})


def test_frames_that_do_not_fit_lose_nothing_of_the_others() -> None:
    out = f"{MARK} begin a\none\n\n{MARK} end a 0\n\n{MARK} end b 0\n{MARK} begin c\n{MARK} odd\n"
    pieces = take_apart(out, "")
    assert (pieces["a"].text, pieces["a"].exit_status) == ("one", 0)
    assert pieces["c"].exit_status is None
    assert "b" not in pieces
