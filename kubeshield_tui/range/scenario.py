"""A scenario: a small world and its truth, as written by its author. Nothing here is computed from our own rules."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.range.listeners import SPECIAL
from kubeshield_tui.range.servers import servers

API_SERVER = "api-server"
"""What answers as the range's own API."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class Node(_Strict, frozen=True, kw_only=True):
    """A node of the world."""

    name: str
    address: str
    roles: list[str] = []


class Pod(_Strict, frozen=True, kw_only=True):
    """A pod of the world."""

    namespace: str
    name: str
    node: str
    address: str
    labels: dict[str, str] = {}
    ports: list[int] = []


class Port(_Strict, frozen=True, kw_only=True):
    """A port of a Service."""

    port: int
    name: str = ""
    target: int = 0
    node_port: int = 0


class Service(_Strict, frozen=True, kw_only=True):
    """A Service of the world."""

    namespace: str
    name: str
    address: str
    ports: list[Port]
    pods: list[str] = []


class Policy(_Strict, frozen=True, kw_only=True):
    """A NetworkPolicy: its spec as YAML."""

    namespace: str
    name: str
    spec: str


class Later(_Strict, frozen=True, kw_only=True):
    """Something that happens while the range runs."""

    after: float
    """Seconds from the start."""
    service: Service | None = None
    """A Service that comes, or is another from now on."""
    gone: str = ""
    """`namespace/name` of a Service that goes."""


class View(_Strict, frozen=True, kw_only=True):
    """What the network does for one vantage. Everything not named is dropped."""

    vantage: str
    zone: str
    node: str = ""
    refuse: list[str] = []
    """Addresses that answer with a reset."""
    reject: dict[str, str] = {}
    """Addresses that a hop rejects: `admin-prohibited from 10.0.0.1`. Put in by the range."""
    reach: list[str] = []
    """Addresses that are what their listener is."""
    instead: dict[str, str] = {}
    """Addresses that another behaviour answers from here (metadata is another service on every node)."""


class Truth(msgspec.Struct, frozen=True):
    """What must be seen in one cell."""

    state: str
    reason: str
    posture: str
    verdict: str


class Scenario(_Strict, frozen=True, kw_only=True):
    """A whole world."""

    name: str
    cluster: str
    version: str
    address: str
    """The API's public address as it is shown."""
    simulated: str
    """What is simulated, in one sentence: shown on screen."""
    namespaces: dict[str, dict[str, str]]
    node: list[Node]
    pod: list[Pod]
    service: list[Service]
    policy: list[Policy] = []
    later: list[Later] = []
    listeners: dict[str, str]
    """`host:port` -> behaviour."""
    view: list[View]
    targets: str = ""
    """Text of a targets file."""
    discovery: bool = True
    """False: the targets are the whole grid."""
    tools: dict[str, str] = {}
    """Command -> what it prints on the jump host."""
    truth: dict[str, dict[str, str]] = {}
    """endpoint id -> vantage -> `state reason posture verdict`."""

    def truth_of(self, endpoint: str, vantage: str) -> Truth:
        """What must be seen. Raises KeyError where nothing is written."""
        return Truth(*self.truth[endpoint][vantage].split())


def load_scenario(name: str) -> Scenario:
    """Load a scenario by name or by path of a TOML file. Raises SettingsError naming file and key."""
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise SettingsError(f"--scenario {name}: no such file", "Name a TOML file, or `default`")
        text, where = path.read_text(encoding="utf-8"), name
    else:
        folder = resources.files("kubeshield_tui.range").joinpath("scenarios")
        found = folder.joinpath(f"{name}.toml")
        if not name.isidentifier() or not found.is_file():
            there = sorted(each.name.removesuffix(".toml") for each in folder.iterdir())
            raise SettingsError(f"--scenario {name!r}: no such scenario", f"There are: {', '.join(there)}")
        text, where = found.read_text(encoding="utf-8"), f"scenario {name}"
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: {error}", "A scenario is TOML") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}", "The default scenario shows every key") from error
    _check(scenario, where)
    return scenario


def _check(scenario: Scenario, where: str) -> None:
    """What types can't say: names that must exist, words that must be known."""
    vantages = {view.vantage for view in scenario.view}
    behaviours = {API_SERVER, *SPECIAL, *servers()}
    problems: list[str] = [
        f"listeners.{address}: unknown behaviour {behaviour!r}"
        for address, behaviour in scenario.listeners.items()
        if behaviour not in behaviours
    ]
    for view in scenario.view:
        problems.extend(
            f"view {view.vantage}: reach: no listener at {address}"
            for address in view.reach
            if address not in scenario.listeners
        )
        problems.extend(
            f"view {view.vantage}: instead: unknown behaviour {behaviour!r}"
            for behaviour in view.instead.values()
            if behaviour not in behaviours
        )
    for endpoint, row in scenario.truth.items():
        missing, unknown = vantages - row.keys(), row.keys() - vantages
        problems.extend(f"truth.{endpoint}: no word for {vantage}" for vantage in sorted(missing))
        problems.extend(f"truth.{endpoint}: unknown vantage {vantage}" for vantage in sorted(unknown))
        problems.extend(
            f"truth.{endpoint}.{vantage}: expected `state reason posture verdict`"
            for vantage, words in row.items()
            if len(words.split()) != 4
        )
    if sum(view.vantage.startswith("ssh:") for view in scenario.view) != 1:
        problems.append("view: expected one ssh: vantage, the jump host")
    if "local" not in vantages:
        problems.append("view: expected a view of `local`")
    if problems:
        raise SettingsError(f"{where}: {problems[0]}", f"{len(problems)} problem(s) of this kind")


def host_port(address: str) -> tuple[str, int]:
    """Take `host:port` apart."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


Json = dict[str, Any]
