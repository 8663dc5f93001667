"""Names of ssh_config for the welcome screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeshield_tui.settings.ssh_hosts import ssh_hosts


def test_concrete_aliases_in_their_order(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "# Host comment\nHost one two *.dev !three\n  HostName x\nhost=four\n  Host\tfive # six\n"
        'Host "seven"\nHost one\nHost *\nMatch host eight\nHostKeyAlias nine\nHost -oProxyCommand=x ten?\n'
    )
    assert ssh_hosts(config) == ("one", "two", "four", "five", "seven")


def test_includes_are_followed_and_loops_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    (folder / "more").mkdir(parents=True)
    (folder / "config").write_text(
        "Host first\nInclude more/*.conf\nInclude ~/.ssh/config\nInclude /no/such\nHost last\n"
    )
    (folder / "more/a.conf").write_text("Host inner-a\n")
    (folder / "more/b.conf").write_text("Host inner-b\n")
    assert ssh_hosts() == ("first", "inner-a", "inner-b", "last")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00Host", b"Host\n", b'Host "open\n', b"Include\nInclude [\n", b"Host \x1b[2J\n"]
)
def test_mess_never_raises(tmp_path: Path, content: bytes) -> None:
    config = tmp_path / "config"
    config.write_bytes(content)
    assert all(alias.isprintable() for alias in ssh_hosts(config))


def test_missing_file_and_folder_are_nothing(tmp_path: Path) -> None:
    assert ssh_hosts(tmp_path / "none") == ()
    assert ssh_hosts(tmp_path) == ()
