"""`kubeshield demo`: the whole product on the embedded training range."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.cli.audit import Output, audit_session, finish
from kubeshield_tui.cli.leavings import say_leavings
from kubeshield_tui.cli.options import expect_from, format_from, limits_from, timing_from
from kubeshield_tui.cli.process import run_until_signal
from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import Zone, parse_vantage
from kubeshield_tui.settings.schema import Format, Settings

if TYPE_CHECKING:
    from kubeshield_tui.range.range import TrainingRange
    from kubeshield_tui.session.session import Session

RANGE_TIMING = Timing(timeout=1.0, confirm=1.5)
"""On loopback nothing is slow, and silence is the only thing to wait for."""
HEADLESS_SECONDS = 14.0
"""What a headless demo may take, so that it always ends within 15 s."""


def demo(arguments: argparse.Namespace) -> int:
    """Run the command: with a screen where there is a terminal, else headless."""
    brought = ("kubeconfig", "context", "ssh_config", "vantage", "zone", "targets", "catalogue", "no_discovery")
    for flag in (*brought, "cni", "pod_image"):
        if getattr(arguments, flag):
            raise SettingsError(f"--{flag.replace('_', '-')} has no meaning for demo", "The range brings its own")
    has_terminal = sys.stdout.isatty() and sys.stdin.isatty()
    if arguments.screenshots is not None:
        return _screenshots(arguments)
    if arguments.headless or not has_terminal:
        return _headless(arguments)
    return show_demo(arguments, arguments.scenario)


def range_settings(training: TrainingRange, arguments: argparse.Namespace) -> Settings:
    """Settings that point the product at the range."""
    vantages = tuple(parse_vantage(text) for text in training.vantages)
    return Settings(
        kubeconfig=training.kubeconfig,
        ssh_config=training.ssh_config,
        vantages=vantages,
        zones=tuple((spec, Zone(zone)) for spec, zone in training.zones.items()),
        targets=training.targets,
        discovery=training.scenario.discovery,
        read_firewalls=bool(training.scenario.tools),  # of the range's own hosts, which print what the scenario says
        consent=True,  # the pods are made in the range, nowhere else
        pod_settle=0.0,  # the range's policies are there before its pods
        timing=timing_from(arguments, RANGE_TIMING),
        limits=limits_from(arguments),
        fail_on=Severity(getattr(arguments, "fail_on", "medium")),
        format=Format(format_from(arguments)),
        output=getattr(arguments, "output", None),
        record=arguments.record,
        expect=expect_from(arguments),
        title="training range",
        simulated=training.simulated,
        time_limit=HEADLESS_SECONDS,
    )


def _headless(arguments: argparse.Namespace) -> int:
    with Output(arguments.output) as output:
        sessions: list[Session] = []

        async def run() -> None:
            from kubeshield_tui.range.range import TrainingRange

            async with TrainingRange(arguments.scenario) as training:
                session = audit_session(range_settings(training, arguments), output, training.local_channel)
                sessions.append(session)
                await session.audit()

        interrupted = run_until_signal(run())
        return finish(sessions[0], output, interrupted)


def show_demo(arguments: argparse.Namespace, scenario: str) -> int:
    """Show the dashboard on the range."""
    return asyncio.run(_show(arguments, scenario))


async def _show(arguments: argparse.Namespace, scenario: str) -> int:
    from kubeshield_tui.range.range import TrainingRange
    from kubeshield_tui.session.session import Session
    from kubeshield_tui.ui.app import KubeShieldApp

    async with TrainingRange(scenario) as training:
        settings = range_settings(training, arguments)
        session = Session(settings, local_channel=training.local_channel)
        app = KubeShieldApp(settings, lambda _: session, None, theme=arguments.theme, ascii_only=arguments.ascii)
        await app.run_async()
    say_leavings(session.store)
    return 0


def _screenshots(arguments: argparse.Namespace) -> int:
    return asyncio.run(_write_screenshots(arguments, arguments.screenshots))


async def _write_screenshots(arguments: argparse.Namespace, directory: Path) -> int:
    from kubeshield_tui.range.range import TrainingRange
    from kubeshield_tui.session.session import Session
    from kubeshield_tui.ui.screenshots import write_screenshots

    async with TrainingRange(arguments.scenario) as training:
        session = Session(range_settings(training, arguments), local_channel=training.local_channel)
        await session.audit()
        for path in await write_screenshots(directory, session):
            print(path)
    return 0
