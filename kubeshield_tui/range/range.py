"""The training range: everything started together, everything gone together."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from kubeshield_tui.range.api import Api
from kubeshield_tui.range.certificates import Authority
from kubeshield_tui.range.listeners import Address, Listeners
from kubeshield_tui.range.scenario import API_SERVER, Json, Scenario, Truth, View, host_port, load_scenario
from kubeshield_tui.range.ssh import Host
from kubeshield_tui.range.view import Reject, Sight, spawn_with_sight
from kubeshield_tui.range.world import World
from kubeshield_tui.vantages.channel import Channel

EXTENSION = "kubeshield.io/range"


class TrainingRange:
    """An embedded cluster. `async with` starts and ends it; the files that it writes are in a folder of its own."""

    def __init__(self, scenario: str = "default") -> None:
        self.scenario: Scenario = load_scenario(scenario)
        self._folder = Path()
        self._listeners: Listeners | None = None
        self._api: Api | None = None
        self._hosts: list[Host] = []
        self._sights: dict[str, Sight] = {}
        self._channels: list[Channel] = []
        self._going_on: asyncio.Task[None] | None = None

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig that works with the product and with kubectl."""
        return self._folder / "kubeconfig"

    @property
    def ssh_config(self) -> Path:
        """An ssh_config that knows the hosts."""
        return self._folder / "ssh_config"

    @property
    def targets(self) -> Path | None:
        """The scenario's targets file, None where it has none."""
        return self._folder / "targets.txt" if self.scenario.targets else None

    @property
    def vantages(self) -> tuple[str, ...]:
        """Specs of all vantages of the scenario."""
        return tuple(view.vantage for view in self.scenario.view)

    @property
    def zones(self) -> dict[str, str]:
        """Zones of the vantages."""
        return {view.vantage: view.zone for view in self.scenario.view}

    @property
    def simulated(self) -> str:
        """What is simulated, in one sentence."""
        return self.scenario.simulated

    def truth(self, endpoint: str, vantage: str) -> Truth:
        """What must be seen in a cell. Raises KeyError."""
        return self.scenario.truth_of(endpoint, vantage)

    async def local_channel(self) -> Channel:
        """The real agent with the view of this machine."""
        return await spawn_with_sight(self._sights["local"])

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="kubeshield-range-"))
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _start(self) -> None:
        authority = await asyncio.to_thread(Authority, "range-ca", self._folder)
        token = secrets.token_urlsafe(24)
        world = World(self.scenario)
        self._going_on = asyncio.create_task(world.go_on(), name="what the scenario has for later")
        self._api = Api(world, token, self._exec)
        shown_host, _ = host_port(self.scenario.address)
        context = authority.server("kube-apiserver", ("127.0.0.1", shown_host))
        api_address = await self._api.start(context)
        self._listeners = Listeners(authority)
        await self._make_sights(self._listeners, api_address)
        for vantage in self.scenario.hosts:
            name, printed = vantage.partition(":")[2], self.scenario.tools.get(vantage, {})
            host = Host(self._folder, name, printed, partial(self._run, vantage))
            self._hosts.append(host)
            await host.start()
        self._write_kubeconfig(api_address, token, authority.pem)
        if self.targets is not None:
            self.targets.write_text(self.scenario.targets)

    async def _close(self) -> None:
        if self._going_on is not None:
            self._going_on.cancel()
            await asyncio.gather(self._going_on, return_exceptions=True)
        for part in (*self._hosts, self._api, self._listeners):
            if part is not None:
                await part.close()
        # Servers cut short what takes long, the end of an agent too: no process may outlive the range.
        await asyncio.gather(*(channel.close() for channel in self._channels), return_exceptions=True)
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _make_sights(self, listeners: Listeners, api_address: Address) -> None:
        sockets: dict[str, Address] = {}
        for address, behaviour in self.scenario.listeners.items():
            if behaviour == API_SERVER:
                sockets[address] = api_address
            else:
                sockets[address] = await listeners.start(behaviour, address.replace(":", "-").replace(".", "-"))
        others = {behaviour for view in self.scenario.view for behaviour in view.instead.values()}
        instead = {behaviour: await listeners.start(behaviour, behaviour) for behaviour in sorted(others)}
        refuse, drop = listeners.refuse(), listeners.drop()
        for view in self.scenario.view:
            self._sights[view.vantage] = _sight(view, sockets, instead, refuse, drop)

    async def _run(self, vantage: str) -> Channel:
        return await self._spawn(self._sights[vantage])

    async def _spawn(self, sight: Sight) -> Channel:
        channel = await spawn_with_sight(sight)
        self._channels.append(channel)
        return channel

    async def _exec(self, pod: Json) -> Channel:
        """The agent in a pod: an existing one has a view of its own, ours have their namespace's."""
        metadata = pod["metadata"]
        existing = f"pod:{metadata['namespace']}/{metadata['name']}"
        vantage = existing if existing in self._sights else f"pod:{metadata['namespace']}"
        sight = self._sights.get(vantage) or _blind(self._sights["local"])
        return await self._spawn(sight.as_seen_by([each["ip"] for each in pod["status"].get("podIPs", ())]))

    def _write_kubeconfig(self, address: Address, token: str, authority: bytes) -> None:
        scenario = self.scenario
        extension = {"address": scenario.address, "simulated": scenario.simulated}
        cluster = {
            "server": f"https://{address[0]}:{address[1]}",
            "certificate-authority-data": base64.b64encode(authority).decode(),
            "extensions": [{"name": EXTENSION, "extension": extension}],
        }
        name = scenario.cluster
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": "trainee", "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "trainee"}}],
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(config, indent=2))  # JSON is YAML


def _sight(
    view: View, sockets: dict[str, Address], instead: dict[str, Address], refuse: Address, drop: Address
) -> Sight:
    seen = {host_port(address): sockets[address] for address in view.reach}
    seen |= {host_port(address): instead[behaviour] for address, behaviour in view.instead.items()}
    seen |= {host_port(address): refuse for address in view.refuse}
    rejects = {}
    for address, words in view.reject.items():
        reason, _, source = words.partition(" from ")
        rejects[host_port(address)] = Reject(reason, source)
    return Sight(seen, rejects, drop, view.addresses, map(host_port, view.cut))


def _blind(sight: Sight) -> Sight:
    """A pod that the scenario gives no view sees nothing."""
    return Sight({}, {}, sight.drop)
