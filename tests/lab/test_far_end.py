"""The far end of the vantage's own link goes down and up while it sweeps: its fault, never the target's."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Limits, Settings
from kubeshield_tui.vantages.channel import Channel
from kubeshield_tui.vantages.local import ProcessChannel
from tests.bench.agent import UNPRIVILEGED
from tests.lab.netns import REACH, ROUTER6, SERVER4, SERVER6, Lab
from tests.lab.test_mixed_targets import start_crowd
from tests.lab.trouble import SEED, Pair, Trouble, faults_wanted, troubled

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]

OPEN, CLOSED, DROPPED, REJECTED = range(7000, 7060), range(7100, 7160), range(7200, 7203), range(7300, 7320)
TRUTH: dict[int, Pair] = {
    **dict.fromkeys(OPEN, (State.OPEN, Reason.SYN_ACK)),
    **dict.fromkeys(CLOSED, (State.CLOSED, Reason.CONN_REFUSED)),
    **dict.fromkeys(DROPPED, (State.FILTERED, Reason.NO_RESPONSE)),
    **dict.fromkeys(REJECTED, (State.FILTERED, Reason.ADMIN_PROHIBITED)),
}


@pytest.fixture(scope="module")
def served(network: Lab) -> Lab:
    start_crowd(network, [[host, port, "open"] for host in (SERVER4, SERVER6) for port in OPEN])
    network.rules(
        "router",
        f"tcp dport {DROPPED.start}-{DROPPED[-1]} drop\n"
        f"tcp dport {REJECTED.start}-{REJECTED[-1]} reject with icmpx type admin-prohibited",
    )
    return network


def spawn(lab: Lab) -> Callable[[], Awaitable[Channel]]:
    async def channel() -> Channel:
        process = await asyncio.create_subprocess_exec(
            *lab.argv("client", *UNPRIVILEGED, sys.executable, "-I", "-S", *BOOTSTRAP[1:]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return ProcessChannel(process)

    return channel


def down(lab: Lab) -> None:
    lab.on("router", "ip", "link", "set", f"{lab.prefix}rc", "down")


def up(lab: Lab) -> None:
    link = f"{lab.prefix}rc"
    lab.on("router", "ip", "link", "set", link, "up")
    lab.on("router", "ip", "addr", "replace", f"{ROUTER6}/64", "dev", link, "nodad")


async def answered(trouble: Trouble, vantage: VantageId, share: float) -> None:
    """Wait until so much of a sweep is answered from now on, or nothing is under way any more."""
    wanted = trouble.answers[vantage] + share * len(trouble.keys(vantage))
    await trouble.until(lambda: trouble.answers[vantage] > wanted or trouble.is_calm(), "answers", 30)


async def test_a_link_whose_far_end_goes_down_is_never_taken_for_a_firewall(served: Lab, tmp_path: Path) -> None:
    spans = [f"{each.start}-{each[-1]}" for each in (OPEN, CLOSED, DROPPED, REJECTED)]
    (tmp_path / "targets").write_text(
        "".join(f"{place}:{span}\n" for place in (SERVER4, f"[{SERVER6}]") for span in spans)
    )
    settings = Settings(
        vantages=(parse_vantage("local"),),
        targets=tmp_path / "targets",
        discovery=False,
        timing=Timing(timeout=0.5, confirm=0.5, attempts=2),
        limits=Limits(rate=600),
    )
    chance = random.Random(f"{SEED} link")
    async with troubled(
        lambda listener: Session(settings, local_channel=spawn(served), listeners=[listener])
    ) as trouble:
        await trouble.learn(2 * len(TRUTH))
        (vantage,) = trouble.session.store.vantages
        ports = {key: trouble.session.store.endpoints[key.endpoint].port for key in trouble.truth}
        assert {key: TRUTH[port] for key, port in ports.items()} == trouble.truth
        trouble.own = frozenset({(State.ERROR, Reason.NO_ROUTE)})
        keys = trouble.keys(vantage)
        for _ in range(faults_wanted(18)):
            trouble.session.ask_again(keys)
            await answered(trouble, vantage, chance.random() * 0.6)
            down(served)
            await answered(trouble, vantage, chance.random() * 0.3)
            up(served)
        served.on("client", sys.executable, "-c", REACH, SERVER4)
        served.on("client", sys.executable, "-c", REACH, SERVER6)
        await trouble.until(trouble.is_calm, "the sweep before", 60)
        trouble.session.ask_again(keys)
        await trouble.until(trouble.is_calm, "the last sweep", 60)
        assert trouble.grid() == trouble.truth
        assert trouble.wrong == []
        assert trouble.blamed  # some probes did meet the missing link
