"""Scenarios: what their author wrote is complete and known, or it is refused with a sentence that names the place."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from kubeshield_tui.discovery.targets_file import read_targets
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.vantage import Zone, parse_vantage
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.range.listeners import SPECIAL, Listeners
from kubeshield_tui.range.scenario import host_port, load_scenario
from kubeshield_tui.range.servers import servers
from kubeshield_tui.range.world import World

DEFAULT = resources.files("kubeshield_tui.range").joinpath("scenarios", "default.toml").read_text("utf-8")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The default scenario with one change."""
    assert old in DEFAULT
    path = tmp_path / "mine.toml"
    path.write_text(DEFAULT.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('cluster = "range"', 'cluster = "range"\nclusters = 2', "clusters"),
        ('address = "10.0.0.12"', 'address = "10.0.0.12"\nrole = "x"', "role"),
        ('zone = "outside"', 'zone = "outside"\nreaches = []', "reaches"),
        ('cluster = "range"\n', "", "cluster"),
        ('version = "v1.33.4"', "version = 1.33", "version"),
        ("port = 443, name", 'port = "443", name', "port"),
        ('"10.0.0.11:22" = "ssh"', '"10.0.0.11:22" = "telnet"', "listeners.10.0.0.11:22: unknown behaviour 'telnet'"),
        ('"metadata-v2" }', '"metadata-v3" }', "view pod:shop/web-6d4f9: instead: unknown behaviour 'metadata-v3'"),
        (
            'reach = ["10.96.0.10:53"',
            'reach = ["10.96.0.10:54"',
            "view pod:payments: reach: no listener at 10.96.0.10:54",
        ),
        ('\n"ssh:jump" = "open', '\n"ssh:other" = "open', "no word for ssh:jump"),
        ('\nlocal = "open syn-ack forbidden reachable unknown 1 no-evidence -"\n', "\n", "no word for local"),
        ('"open syn-ack forbidden exposed unknown', '"open syn-ack exposed', "expected `state reason posture verdict`"),
        ("deny 3 compatible jump-output", "deny 3 compatible jump-input", "unknown decider jump-input"),
        ('vantage = "ssh:jump"', 'vantage = "pod:other"', "no word for pod:other"),
        ("[namespaces]", "[namespaces", "line"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(SettingsError) as caught:
        load_scenario(str(path))
    assert str(path) in caught.value.message
    assert named in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gone", "named"), [("ssh:jump", "tools.ssh:jump: no view of a host"), ("local", "a view of `local`")]
)
def test_a_range_needs_this_machine_and_the_hosts_that_print_something(tmp_path: Path, gone: str, named: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DEFAULT.partition("[truth.")[0].replace(f'vantage = "{gone}"', 'vantage = "pod:other"'))
    with pytest.raises(SettingsError, match=named):
        load_scenario(str(path))


@pytest.mark.parametrize("name", ["none", "", "../default", "/etc/passwd", "no such", "none.toml", "default.tomlx"])
def test_what_is_not_there_is_said(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_scenario(name)
    assert "--scenario" in caught.value.message
    assert "default" in caught.value.hint


def test_the_default_by_name_is_its_file(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(DEFAULT)
    assert load_scenario(str(path)) == load_scenario("default")


@pytest.mark.parametrize("name", ["default", "catalogue"])
def test_every_word_of_the_truth_is_a_word_of_ours(name: str) -> None:
    scenario = load_scenario(name)
    for endpoint, row in scenario.truth.items():
        for vantage in row:
            truth = scenario.truth_of(endpoint, vantage)
            State(truth.state), Reason(truth.reason), Posture(truth.posture), Verdict(truth.verdict)
    with pytest.raises(KeyError):
        scenario.truth_of("nothing", "local")


@pytest.mark.parametrize("name", ["default", "catalogue"])
def test_views_are_vantages_in_zones(name: str) -> None:
    scenario = load_scenario(name)
    for view in scenario.view:
        assert parse_vantage(view.vantage).text == view.vantage
        Zone(view.zone)
        for address in (*view.reach, *view.refuse, *view.reject, *view.instead):
            host, port = host_port(address)
            assert host
            assert 0 < port < 65536


@pytest.mark.parametrize("name", ["default", "catalogue"])
def test_addresses_that_are_shown_can_be_no_neighbours_of_ours(name: str, tmp_path: Path) -> None:
    """They are never connected to, and none is loopback: a mistake there would look like a real answer."""
    scenario = load_scenario(name)
    for address in scenario.listeners:
        assert not host_port(address)[0].startswith("127.")
    targets = tmp_path / "targets.txt"
    targets.write_text(scenario.targets)
    assert {endpoint.id for endpoint in read_targets(targets)} <= scenario.truth.keys()


def test_ports_with_and_without_brackets() -> None:
    assert host_port("10.0.0.1:80") == ("10.0.0.1", 80)
    assert host_port("[2001:db8::1]:443") == ("2001:db8::1", 443)


@pytest.mark.parametrize("behaviour", sorted({*SPECIAL, *servers()}))
async def test_every_behaviour_has_a_listener(behaviour: str, tmp_path: Path) -> None:
    listeners = Listeners(Authority("test-ca", tmp_path))
    try:
        host, port = await listeners.start(behaviour, "name")
        assert host == "127.0.0.1"
        assert port
    finally:
        await listeners.close()


async def test_an_unknown_behaviour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such behaviour: telnet"):
        await Listeners(Authority("test-ca", tmp_path)).start("telnet", "name")


def test_the_world_is_the_same_at_every_start() -> None:
    def uids() -> list[str]:
        world = World(load_scenario("default"))
        return [str(body["metadata"]["uid"]) for objects in world.objects.values() for body in objects.values()]

    assert uids() == uids()
    assert len(set(uids())) == len(uids())
    assert all(re.fullmatch(r"[0-9a-f-]{36}", uid) for uid in uids())
