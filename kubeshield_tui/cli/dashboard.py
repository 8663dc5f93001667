"""`kubeshield`: the dashboard."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from kubeshield_tui.cli.options import settings_from
from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.session.control import SessionControl
    from kubeshield_tui.session.offer import Offer
    from kubeshield_tui.settings.schema import Settings


def dashboard(arguments: argparse.Namespace) -> int:
    """Show the welcome screen, or start at once where flags or --yes say what to do."""
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise SettingsError("the dashboard needs a terminal", "Use `kubeshield audit` where there is none")
    settings = settings_from(arguments)
    told: tuple[str, ...] = ()
    was_read = settings.is_open_ended and not settings.consent
    if was_read:  # the welcome screen shows what would be created, so it must be known before
        settings, told = _expanded(settings)
    decided = bool(arguments.vantage or arguments.targets or arguments.yes)
    if decided and any(spec.creates_pod for spec in settings.vantages) and not settings.consent:
        decided = False  # the welcome screen shows what would be created and asks
    return show(settings, arguments, ask_first=not decided, told=told, was_read=was_read)


def _expanded(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Settings with all vantages named, and what to say of it."""
    import asyncio

    from kubeshield_tui.session.doors import resolve_contexts
    from kubeshield_tui.session.expand import expand

    print("kubeshield: reading namespaces and nodes", file=sys.stderr)
    expansion = asyncio.run(expand(settings, resolve_contexts(settings)))
    failed = tuple(f"{failure.message}. {failure.hint}" for failure in expansion.failures)
    return expansion.settings, expansion.notes + failed


def show(
    settings: Settings,
    arguments: argparse.Namespace,
    *,
    ask_first: bool,
    told: tuple[str, ...] = (),
    was_read: bool = False,
) -> int:
    """Run the app and say what it left. `told`: what the welcome screen says of the flags."""
    from kubeshield_tui.ui.app import KubeShieldApp

    sessions: list[SessionControl] = []

    def open_session(chosen: Settings) -> SessionControl:
        from kubeshield_tui.session.session import Session

        session = Session(chosen)
        sessions.append(session)
        return session

    def offer() -> Offer:
        from kubeshield_tui.session.offer import make_offer

        return make_offer(settings, told, was_read=was_read)

    app = KubeShieldApp(
        settings,
        open_session,
        offer if ask_first else None,
        theme=arguments.theme,
        ascii_only=arguments.ascii,
    )
    result = app.run()
    from kubeshield_tui.cli.leavings import say_leavings

    for session in sessions:
        say_leavings(session.store)
    if result == "demo":
        from kubeshield_tui.cli.demo import show_demo

        return show_demo(arguments, "default")
    return 0
