"""The SSH vantage against real OpenSSH servers: the log-in, what is refused and how it is said."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeshield_tui.errors import VantageError, VantageLost
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.vantages.ssh import SshVantage
from tests.contract.sshd import Estate, Sshd, fingerprint, free_port, keygen, need_sshd, probe, running_agent

pytestmark = pytest.mark.sshd


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    need_sshd()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    estate = Estate(tmp_path)
    yield estate
    estate.stop()


def vantage(estate: Estate, host: str) -> SshVantage:
    return SshVantage(parse_vantage(f"ssh:{host}"), ssh_config=estate.config)


@asynccontextmanager
async def opened(estate: Estate, host: str) -> AsyncIterator[SshVantage]:
    point = vantage(estate, host)
    try:
        await point.open()
        yield point
    finally:
        await point.close()


async def refusal(estate: Estate, host: str) -> VantageError:
    point = vantage(estate, host)
    with pytest.raises(VantageError) as caught:
        await point.open()
    await point.close()
    return caught.value


async def test_changed_host_key_is_refused_with_fingerprint_line_and_remedy(estate: Estate) -> None:
    server = estate.server("jump")
    known = fingerprint(server.host_key)
    server.stop()
    keygen(server.host_key)
    server.start()
    error = await refusal(estate, "jump")
    assert "jump" in error.message
    assert "CHANGED" in error.message
    assert fingerprint(server.host_key) in error.message
    assert known in error.message
    assert f"{estate.known} line 1" in error.message
    assert f"ssh-keygen -f {estate.known} -R '[127.0.0.1]:{server.port}'" in error.hint
    assert server.logins == 0


async def test_changed_host_key_of_another_type_is_refused_and_named(estate: Estate) -> None:
    server = estate.server("jump")
    server.stop()
    keygen(server.host_key, kind="ecdsa")
    server.start()
    error = await refusal(estate, "jump")
    assert "CHANGED" in error.message
    assert fingerprint(server.host_key) in error.message


@pytest.mark.parametrize("relaxed", ["StrictHostKeyChecking no", "UserKnownHostsFile none"])
async def test_unknown_host_key_is_refused_whatever_the_config_allows(estate: Estate, relaxed: str) -> None:
    server = estate.server("jump")
    estate.known.write_text("")
    estate.configure("jump", relaxed)
    error = await refusal(estate, "jump")
    assert "unknown host key" in error.message
    assert fingerprint(server.host_key) in error.message
    assert "ssh-keyscan" in error.hint
    assert server.logins == 0


async def test_revoked_host_key_is_refused(estate: Estate) -> None:
    server = estate.server("jump")
    estate.known.write_text(f"{server.known_line}@revoked * {server.known_line.partition(' ')[2]}")
    assert "revoked" in (await refusal(estate, "jump")).message


async def test_hashed_known_hosts_are_read(estate: Estate) -> None:
    estate.server("jump")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(estate.known)], check=True, capture_output=True)
    assert "127.0.0.1" not in estate.known.read_text()
    async with opened(estate, "jump"):
        pass


async def test_jumps_through_two_hosts(estate: Estate) -> None:
    first, second, target = (estate.server(name) for name in ("first", "second", "target"))
    estate.configure("target", "ProxyJump first,second")
    async with opened(estate, "target") as point:
        assert (await point.run(["echo", "there"], timeout=10, limit=100)).stdout == b"there\n"
    assert [server.logins for server in (first, second, target)] == [1, 1, 1]
    assert [await _gone(server) for server in (first, second, target)] == [True] * 3


async def test_jumps_nest_where_each_host_names_the_next(estate: Estate) -> None:
    servers = [estate.server(name) for name in ("first", "second", "target")]
    estate.configure("second", "ProxyJump first")
    estate.configure("target", "ProxyJump second")
    async with opened(estate, "target"):
        pass
    assert [server.logins for server in servers] == [1, 1, 1]


@pytest.mark.parametrize("hop", ["first", "second"])
async def test_a_hop_with_an_unknown_key_is_refused(estate: Estate, hop: str) -> None:
    _, _, target = (estate.server(name) for name in ("first", "second", "target"))
    estate.configure("target", "ProxyJump first,second")
    line = estate.servers[hop].known_line
    estate.known.write_text(estate.known.read_text().replace(line, ""))
    error = await refusal(estate, "target")
    assert "unknown host key" in error.message
    assert error.message.startswith(hop)
    assert target.logins == 0


async def test_a_host_that_jumps_through_itself_is_a_sentence(estate: Estate) -> None:
    estate.server("jump")
    estate.configure("jump", "ProxyJump jump")
    assert "ProxyJump" in (await refusal(estate, "jump")).message


async def test_a_hop_that_does_not_forward_is_named(estate: Estate) -> None:
    estate.server("first", "AllowTcpForwarding no")
    estate.server("target")
    estate.configure("target", "ProxyJump first")
    error = await refusal(estate, "target")
    assert "first" in error.message
    assert "does not forward" in error.message
    assert "AllowTcpForwarding" in error.hint


async def test_refused_key_says_what_was_tried(estate: Estate) -> None:
    estate.server("jump")
    stranger = keygen(estate.folder / "stranger")
    estate.configure("jump", identity=str(stranger))
    error = await refusal(estate, "jump")
    assert "log-in refused" in error.message
    assert str(stranger) in error.message


async def test_missing_key_file_is_named(estate: Estate) -> None:
    estate.server("jump")
    estate.configure("jump", identity=str(estate.folder / "nowhere"))
    error = await refusal(estate, "jump")
    assert "no key at all" in error.message
    assert "nowhere (no such file)" in error.message


async def test_encrypted_key_asks_for_the_agent_and_works_with_it(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate.server("jump")
    locked = keygen(estate.folder / "locked", passphrase="secret words")
    estate.authorized.write_text(locked.with_suffix(".pub").read_text())
    estate.configure("jump", identity=str(locked))
    error = await refusal(estate, "jump")
    assert "passphrase" in error.message
    assert f"ssh-add {locked}" in error.hint
    opened_key = estate.folder / "unlocked"
    opened_key.write_bytes(locked.read_bytes())
    opened_key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "secret words", "-N", "", "-f", str(opened_key)],
        check=True,
        capture_output=True,
    )
    with running_agent(estate.folder, opened_key) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        async with opened(estate, "jump"):  # IdentitiesOnly: the agent's key is the one that the file names
            pass


async def test_key_of_the_agent_without_any_file(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    estate.server("jump")
    estate.configure("jump", identity=None)
    monkeypatch.setenv("HOME", str(estate.folder / "empty"))
    assert "log-in refused" in (await refusal(estate, "jump")).message
    with running_agent(estate.folder, estate.key) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        async with opened(estate, "jump"):
            pass


async def test_dead_agent_does_not_stop_a_key_file(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    estate.server("jump")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(estate.folder / "no-agent"))
    async with opened(estate, "jump"):
        pass


async def test_refused_port_and_unknown_name_are_sentences(estate: Estate) -> None:
    estate.config.write_text(f"Host shut\n  HostName 127.0.0.1\n  Port {free_port()}\n")
    assert "connection refused" in (await refusal(estate, "shut")).message
    assert "unknown host" in (await refusal(estate, "no-such-host.invalid")).message


async def test_broken_and_missing_config_are_sentences(estate: Estate) -> None:
    estate.config.write_text("Host broken\n  Port many\n")
    assert "line 2" in (await refusal(estate, "broken")).message
    estate.config.unlink()
    assert str(estate.config) in (await refusal(estate, "broken")).message


async def test_something_that_is_no_ssh_server_ends_in_time(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeshield_tui.vantages.ssh_connection.LOGIN_SECONDS", 0.5)
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    estate.config.write_text(f"Host mute\n  HostName 127.0.0.1\n  Port {port}\n")
    assert "no answer" in (await refusal(estate, "mute")).message
    for writer in held:
        writer.close()
    server.close()


async def test_forced_command_is_told_from_a_missing_python(estate: Estate) -> None:
    estate.server("forced", 'ForceCommand echo "go away"', "AllowTcpForwarding no")
    error = await refusal(estate, "forced")
    assert "something else" in error.message
    assert error.message.endswith("forbids forwarding")
    assert "go away" in error.message
    assert "ForceCommand" in error.hint


async def test_missing_python_is_said(estate: Estate) -> None:
    empty = estate.folder / "no-programs"
    empty.mkdir()
    estate.server("bare", f"SetEnv PATH={empty}", "DisableForwarding yes")
    error = await refusal(estate, "bare")
    assert error.message.startswith("nothing on bare")
    assert "sh" in error.message
    assert error.message.endswith("forbids forwarding")


async def test_host_without_sessions_is_said(estate: Estate) -> None:
    estate.server("closed", "MaxSessions 0", "AllowTcpForwarding no")
    assert "starts no program" in (await refusal(estate, "closed")).message


async def test_noise_before_the_hello_is_passed_over(estate: Estate) -> None:
    estate.server("noisy", "ForceCommand echo welcome; echo '{}'; eval \"$SSH_ORIGINAL_COMMAND\"")
    async with opened(estate, "noisy"):
        pass


async def test_killed_session_is_lost_and_comes_back(estate: Estate) -> None:
    server = estate.server("jump")
    async with opened(estate, "jump") as point:
        server.signal_sessions(signal.SIGKILL)
        with pytest.raises(VantageLost):
            await _until_lost(point)
        await point.open()
        assert (await point.run(["true"], timeout=10, limit=10)).exit_status == 0


async def test_frozen_session_is_lost_within_five_seconds(estate: Estate) -> None:
    server = estate.server("jump")
    async with opened(estate, "jump") as point:
        server.signal_sessions(signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(VantageLost):
            await _until_lost(point)
        assert time.monotonic() - begin < 5.5  # 5 s, and the turn of the loop on a busy machine


async def test_run_returns_status_and_both_streams_on_the_one_connection(estate: Estate) -> None:
    server = estate.server("jump")
    async with opened(estate, "jump") as point:
        result = await point.run(["sh", "-c", "echo 'a  b'; echo oh >&2; exit 3"], timeout=10, limit=1000)
        assert (result.exit_status, result.stdout, result.stderr) == (3, b"a  b\n", b"oh\n")
        assert not result.truncated
        results = await asyncio.gather(*(point.run(["echo", str(i)], timeout=10, limit=10) for i in range(5)))
        assert [result.stdout for result in results] == [b"%d\n" % i for i in range(5)]
        assert server.logins == 1


async def test_run_quotes_its_words(estate: Estate) -> None:
    estate.server("jump")
    async with opened(estate, "jump") as point:
        result = await point.run(["printf", "%s|", "a b", "$HOME", "';x", "*"], timeout=10, limit=100)
        assert result.stdout == b"a b|$HOME|';x|*|"


async def test_run_stops_at_its_limits(estate: Estate) -> None:
    estate.server("jump")
    async with opened(estate, "jump") as point:
        result = await point.run(["sh", "-c", "yes"], timeout=10, limit=100_000)
        assert result.truncated
        assert len(result.stdout) == 100_000
        with pytest.raises(VantageError, match="within"):
            await point.run(["sleep", "60"], timeout=0.3, limit=10)


async def test_close_leaves_nothing_on_the_host(estate: Estate) -> None:
    server = estate.server("jump")
    point = vantage(estate, "jump")
    await point.open()
    assert server.sessions()
    await point.close()
    await point.close()
    assert await _gone(server)


async def test_a_log_in_that_is_dropped_once_is_tried_again(estate: Estate) -> None:
    server = estate.server("jump")
    dropped = 0

    relays: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dropped
        task = asyncio.current_task()
        assert task is not None
        relays.append(task)
        if not dropped:
            dropped += 1
            writer.close()
            await writer.wait_closed()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    front = await asyncio.start_server(relay, "127.0.0.1", 0)
    estate.configure("jump", f"HostKeyAlias [127.0.0.1]:{server.port}")
    port = front.sockets[0].getsockname()[1]
    text = estate.config.read_text().replace(f"Port {server.port}", f"Port {port}")
    estate.config.write_text(text)
    async with opened(estate, "jump"):
        assert dropped == 1
    front.close()
    await asyncio.gather(*relays)
    await front.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _gone(server: Sshd) -> bool:
    deadline = time.monotonic() + 5
    while server.sessions():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def _until_lost(point: SshVantage) -> None:
    """Ask a port that stays silent until the vantage says that it is lost."""
    while True:
        await point.ask(probe("127.0.0.1", 9))
        await asyncio.sleep(0.05)
