"""Reading rulesets: what hosts say when they refuse, and that nothing read is never taken for `accept`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from kubeshield_tui.errors import VantageLost
from kubeshield_tui.evidence.collect.rulesets import collect_rulesets
from kubeshield_tui.model.evidence import Ruleset, SourceStatus
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.vantages.ssh_channel import CommandResult

NFT = {"nftables": [{"metainfo": {"json_schema_version": 1}}, {"rule": {"comment": "naïve \x1b[2J", "handle": 2**53}}]}


def result(status: int, out: str = "", err: str = "", *, truncated: bool = False) -> CommandResult:
    return CommandResult(exit_status=status, stdout=out.encode(), stderr=err.encode(), truncated=truncated)


class Host:
    """Answers commands from a table; what is not in it does not exist there."""

    def __init__(self, **answers: CommandResult) -> None:
        self.answers = {key.replace("_", " ", 1): value for key, value in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        self.asked.append(" ".join(argv))
        name = "sudo nft" if argv[:3] == ("sudo", "-n", "nft") else argv[0]
        return self.answers.get(name, result(127, err=f"bash: line 1: {argv[0]}: command not found\n"))


async def nft(host: Host) -> Ruleset:
    return (await collect_rulesets(VantageId("ssh:n1"), "n1", host))[0]


async def test_json_is_one_object_a_line_faithful_and_printable() -> None:
    ruleset = await nft(Host(nft=result(0, json.dumps(NFT))))
    assert ruleset.status is SourceStatus.OK
    assert len(ruleset.text.splitlines()) == 4
    told = json.loads(ruleset.text.replace("␛", "\x1b"))
    assert told == NFT
    assert "\x1b" not in ruleset.text
    assert "naïve" in ruleset.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (1, "Operation not permitted (you must be root)\nnetlink: Error: cache initialization failed"),
        (
            4,
            "v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
        ),
    ],
)
async def test_denied_then_sudo(status: int, said: str) -> None:
    host = Host(nft=result(status, err=said), sudo_nft=result(0, json.dumps(NFT)))
    ruleset = await nft(host)
    assert ruleset.status is SourceStatus.OK
    assert ruleset.tool == "sudo -n nft -j list ruleset"


@pytest.mark.parametrize(
    "sudo", ["sudo: a password is required", "sudo: command not found", "x may not run sudo on n1."]
)
async def test_denied_with_sudo_too_keeps_both_words(sudo: str) -> None:
    ruleset = await nft(
        Host(nft=result(1, err="Operation not permitted (you must be root)"), sudo_nft=result(1, err=sudo))
    )
    assert ruleset.status is SourceStatus.DENIED
    assert ruleset.text == ""
    assert "you must be root" in ruleset.detail
    assert sudo in ruleset.detail


async def test_sudo_is_not_asked_where_nothing_was_denied() -> None:
    host = Host(nft=result(0, json.dumps(NFT)))
    await collect_rulesets(VantageId("ssh:n1"), "n1", host)
    assert not [command for command in host.asked if command.startswith("sudo")]


async def test_missing_tool_after_its_full_path_was_tried() -> None:
    host = Host()
    rulesets = await collect_rulesets(VantageId("ssh:n1"), "n1", host)
    assert {ruleset.status for ruleset in rulesets} == {SourceStatus.MISSING_TOOL}
    assert "/usr/sbin/iptables-save -c" in host.asked
    assert all("not found" in ruleset.detail for ruleset in rulesets)


async def test_tool_outside_the_path_is_found_and_denied_there() -> None:
    host = Host()
    host.answers["/usr/sbin/nft"] = result(1, err="Operation not permitted (you must be root)")
    ruleset = await nft(host)
    assert ruleset.status is SourceStatus.DENIED
    assert "sudo -n /usr/sbin/nft -j list ruleset" in host.asked


async def test_nothing_printed_is_unknown_not_accept() -> None:
    ruleset = await nft(Host(nft=result(0)))
    assert ruleset.status is SourceStatus.ERROR
    assert "unknown" in ruleset.detail


async def test_too_large_is_said_and_the_beginning_kept() -> None:
    ruleset = await nft(Host(nft=result(-1, '{"nftables": [{"rule"', truncated=True)))
    assert ruleset.status is SourceStatus.OK
    assert ruleset.text == '{"nftables": [{"rule"'
    assert "only the first 4 MB" in ruleset.detail


async def test_warning_of_legacy_tables_is_kept() -> None:
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them"
    host = Host(**{"iptables-save": result(0, "*filter\nCOMMIT\n", warning)})
    ruleset = (await collect_rulesets(VantageId("ssh:n1"), "n1", host))[1]
    assert ruleset.text == "*filter\nCOMMIT"
    assert warning in ruleset.detail


async def test_a_lost_host_is_an_error_each_never_an_exception() -> None:
    async def lost(argv: Sequence[str], *, timeout: float, limit: int) -> CommandResult:
        raise VantageLost("n1: the connection ended")

    rulesets = await collect_rulesets(VantageId("ssh:n1"), "n1", lost)
    assert {ruleset.status for ruleset in rulesets} == {SourceStatus.ERROR}
    assert all("the connection ended" in ruleset.detail for ruleset in rulesets)


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"nftables": 3}', "\x00\xff"])
async def test_mess_is_kept_as_it_is(text: str) -> None:
    assert (await nft(Host(nft=result(0, text)))).text.startswith(text[0].replace("\x00", "␀"))
