"""A session reads the rules of its hosts over a real SSH server, watches a probe, and makes no pod without a yes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubeshield_tui.errors import ConsentMissing
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.evidence import SourceStatus
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.range.range import TrainingRange
from kubeshield_tui.session import host_rules
from kubeshield_tui.session.offer import intent_of
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from tests.contract.served import settings, targets

JUMP = VantageId("ssh:jump")


@pytest.fixture
async def training(tmp_path: Path) -> AsyncIterator[TrainingRange]:
    async with TrainingRange() as started:
        yield started


def of_run(training: TrainingRange, folder: Path, *vantages: str, **more: object) -> Settings:
    named = targets(folder, "10.0.0.11:6443", "10.0.0.11:22")
    return settings(training, *vantages, targets=named, ssh_config=training.ssh_config, **more)  # type: ignore[arg-type]


async def test_a_run_reads_its_hosts_when_it_is_asked_to(training: TrainingRange, tmp_path: Path) -> None:
    quiet = Session(of_run(training, tmp_path, "ssh:jump"))
    await quiet.audit()
    assert quiet.store.sources == {}
    session = Session(of_run(training, tmp_path, "ssh:jump", read_firewalls=True))
    await session.audit()
    assert session.store.sources[JUMP, "nft"].status is SourceStatus.OK
    key = next(key for key in session.store.cells if "6443" in key.endpoint)
    first = session.firewalls.way(key)[0]
    layer = first.judged(session.store.now)
    assert (first.layer, first.host) == ("vantage-egress", "jump")
    assert layer is not None
    assert (layer.verdict, layer.answer) == (Predicted.DENY, "icmp-admin-prohibited")


async def test_what_a_live_session_reads_and_watches_is_in_its_events(training: TrainingRange, tmp_path: Path) -> None:
    seen: list[happened.Event] = []
    session = Session(of_run(training, tmp_path, "ssh:jump"), listeners=(seen.append,))
    session.prepare()
    await session._expand()
    try:
        await session._start(live=False)
        await session._settle()
        key = next(key for key in session.store.cells if ":22/" in key.endpoint)
        await session.read_rules(key)
        assert {each.source.item for each in seen if isinstance(each, happened.SourceCollected)} >= {"nft", "routes"}
        await session.witness(key)
        told = session.store.witnesses[key]
        assert (told.error, told.sent) == ("", 1)
        assert told.answer == "open (syn-ack)"
        assert told.sentence == "it was let through all the way"
        assert [host.host for host in told.hosts] == ["jump"]
        folded = type(session.store)()
        for each in seen:
            folded.apply(happened.decode_event(happened.encode_event(each)))
        assert folded.witnesses == session.store.witnesses
        assert folded.sources == session.store.sources
    finally:
        await session.close()


async def test_a_way_that_nobody_can_read_is_said_and_nothing_is_sent(training: TrainingRange, tmp_path: Path) -> None:
    session = Session(of_run(training, tmp_path, "pod:shop/web-6d4f9"))
    session.prepare()
    await session._expand()
    try:
        await session._start(live=False)
        await session._settle()
        key = CellKey(next(iter(session.store.endpoints)), VantageId("pod:shop/web-6d4f9"))
        before = session.store.answers
        await session.witness(key)
        assert "no host on its way can be read" in session.store.witnesses[key].error
        assert session.store.answers == before
    finally:
        await session.close()


def test_pods_that_read_rules_are_named_one_by_one_and_need_their_own_flag(training: TrainingRange) -> None:
    node = parse_vantage("node:n1")
    plain = Settings(kubeconfig=training.kubeconfig, vantages=(node,), discovery=False)
    asked = Settings(
        kubeconfig=training.kubeconfig, vantages=(node,), discovery=False, read_firewalls=True, firewall_pods=True
    )
    with pytest.raises(ConsentMissing) as caught:
        Session(plain).prepare()
    assert "NET_ADMIN" not in caught.value.message
    with pytest.raises(ConsentMissing) as caught:
        Session(asked).prepare()
    lines = caught.value.message.splitlines()
    pods = [line for line in lines if " Pod " in f" {line.strip()} "]
    assert len(pods) == 2
    assert "restricted otherwise" in pods[0]
    assert "root in the node's network (hostNetwork) with NET_ADMIN and SYS_CHROOT alone" in pods[1]
    assert "not privileged" in pods[1]
    assert "mounts /usr /bin /sbin /lib /lib64 /proc /dev/null, read-only" in pods[1]
    assert any("NET_ADMIN" in line for line in intent_of(asked).creates)
    assert not any("NET_ADMIN" in line for line in intent_of(plain).creates)


async def test_a_host_is_read_again_before_its_reading_is_too_old_and_after_rows_came(
    training: TrainingRange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(of_run(training, tmp_path, "ssh:jump", read_firewalls=True))
    session.prepare()
    await session._expand()
    try:
        await session._start(live=False)
        await session._settle()
        read_at = session.store.sources[JUMP, "nft"].at
        clock = [read_at]
        monkeypatch.setattr(host_rules, "time", lambda: clock[0])
        for later, is_read in ((29.0, False), (599.0, False), (601.0, True)):
            clock[0] = read_at + later
            await session._rules.read_due()
            assert (session.store.sources[JUMP, "nft"].at > read_at) is is_read, later
        read_at = session.store.sources[JUMP, "nft"].at
        came = replace(next(iter(session.store.endpoints.values())), id=EndpointId("came"))
        session.store.apply(happened.EndpointFound(at=read_at + 6.0, endpoint=came))
        session.store.apply(happened.EndpointFound(at=read_at + 30.0, endpoint=replace(came, id=EndpointId("late"))))
        for later, is_read in ((29.0, False), (34.0, False), (36.0, True)):  # rules for the last are written by then
            clock[0] = read_at + later
            await session._rules.read_due()
            assert (session.store.sources[JUMP, "nft"].at > read_at) is is_read, later
    finally:
        await session.close()
