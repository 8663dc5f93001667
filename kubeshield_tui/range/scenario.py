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
    image: str = "example"
    daemon_set: str = ""
    """The DaemonSet that it is of."""
    host_network: bool = False


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
    addresses: list[str] = []
    """What it comes as, the usual one first; one that is in a target's /24 goes before it. Pods have their own."""
    refuse: list[str] = []
    """Addresses that answer with a reset."""
    reject: dict[str, str] = {}
    """Addresses that a hop rejects: `admin-prohibited from 10.0.0.1`. Put in by the range."""
    cut: list[str] = []
    """Addresses that take a connection and reset it before a byte. Put in by the range: whether a real reset comes
    before we speak hangs on how busy this machine is."""
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
    predicted: str = "unknown"
    depth: str = "-"
    """How many failure domains hold; `-` where nothing was measured."""
    comparison: str = ""
    """How the rules and the wire stand to each other."""
    decider: str = "-"
    """The key in `deciders` of the first layer that denies; `-` where none does."""


class Decider(_Strict, frozen=True, kw_only=True):
    """Something that denies."""

    layer: str
    text: str


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
    tools: dict[str, dict[str, str]] = {}
    """Vantage -> command -> what it prints on that host."""
    deciders: dict[str, Decider] = {}
    """What denies, by the words that `truth` uses."""
    truth: dict[str, dict[str, str]] = {}
    """endpoint id -> vantage -> `state reason posture verdict`, and where there are rules `predicted depth comparison
    decider`."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Vantages that SSH leads to."""
        return tuple(view.vantage for view in self.view if view.vantage.startswith(("ssh:", "node:")))

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
            f"truth.{endpoint}.{vantage}: expected `state reason posture verdict`, or four more words of the rules"
            for vantage, words in row.items()
            if len(words.split()) not in {4, 8}
        )
        problems.extend(
            f"truth.{endpoint}.{vantage}: unknown decider {decider}"
            for vantage, words in row.items()
            for decider in words.split()[7:]
            if decider not in {"-", *scenario.deciders}
        )
    problems.extend(f"tools.{host}: no view of a host" for host in scenario.tools.keys() - set(scenario.hosts))
    if "local" not in vantages:
        problems.append("view: expected a view of `local`")
    if problems:
        raise SettingsError(f"{where}: {problems[0]}", f"{len(problems)} problem(s) of this kind")


def host_port(address: str) -> tuple[str, int]:
    """Take `host:port` apart."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


Json = dict[str, Any]
