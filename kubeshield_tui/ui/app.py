"""The dashboard. Owns the session's task: screens come and go, the session ends only with the app.

Results never travel as messages: screens pull from the store twenty times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kubeshield_tui.model.text import printable

if TYPE_CHECKING:
    from kubeshield_tui.session.control import SessionControl
    from kubeshield_tui.session.offer import Offer
    from kubeshield_tui.settings.schema import Settings
    from kubeshield_tui.ui.symbols import Alphabet
    from kubeshield_tui.ui.themes import Palette

CLOSE_SECONDS = 45.0
"""What leaving may take: our pods are removed first, through a restart of the API server if need be."""
DEMO = "demo"


class KubeShieldApp(App[str]):
    """Returns `demo` where the user asked for the training range."""

    TITLE = "KubeShield"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    Screen { layers: base over; background: $background; }
    #tiny { display: none; layer: over; dock: top; width: 100%; height: 100%; content-align: center middle; }
    .-tiny #tiny { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Quit", id="app.quit"),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),
        Binding("question_mark,f1", "help", "Help", id="app.help"),
        Binding("e", "picture", "Screenshot", show=False, id="app.screenshot"),
    ]

    def __init__(
        self,
        settings: Settings,
        open_session: Callable[[Settings], SessionControl],
        offer: Callable[[], Offer] | None,
        theme: str | None = None,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.ascii_only = ascii_only
        self.session: SessionControl | None = None
        self._open_session = open_session
        self._offer = offer
        self._wanted_theme = theme
        self._session_task: asyncio.Task[None] | None = None
        self._leaving = False

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our tokens, for themes that do not name them."""
        from kubeshield_tui.ui.tokens import token_defaults

        return token_defaults()

    @property
    def alphabet(self) -> Alphabet:
        """The signs to draw with."""
        from kubeshield_tui.ui.symbols import PLAIN, UNICODE

        return PLAIN if self.ascii_only else UNICODE

    @property
    def palette(self) -> Palette:
        """Styles of the current theme."""
        from kubeshield_tui.ui.themes import Palette

        return Palette(self.theme_variables)

    def compose(self) -> ComposeResult:
        """The first frame: our name. Everything else is loaded while it stands."""
        yield Static(Content(" KubeShield"))

    def on_mount(self) -> None:
        """Let the first frame out, then load the rest."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Take the theme, then ask or start."""
        self._take_theme()
        if self._offer is not None:
            self._ask()
        else:
            self.start(self.settings)

    def _ask(self) -> None:
        from kubeshield_tui.ui.screens.welcome import WelcomeScreen

        assert self._offer is not None
        screen = WelcomeScreen(self._offer(), self.settings)
        if len(self.screen_stack) > 1:
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def _take_theme(self) -> None:
        from kubeshield_tui.ui.themes import load_themes
        from kubeshield_tui.ui.tokens import DEFAULT_THEME

        themes = load_themes()
        for theme in themes.loaded:
            self.register_theme(theme)
        wanted = self._wanted_theme or DEFAULT_THEME
        problems = list(themes.failed)
        if wanted in self.available_themes:
            self.theme = wanted
        else:
            names = ", ".join(sorted(theme.name for theme in themes.loaded))
            problems.append(f"there is no theme {printable(wanted, 40)}; there are {names}")
        if problems:
            self.notify("\n".join(problems), severity="warning", markup=False, timeout=10)

    def start(self, settings: Settings) -> None:
        """Open a session and show it."""
        from kubeshield_tui.ui.screens.audit import AuditScreen

        self.settings = settings
        self.session = self._open_session(settings)
        self._session_task = asyncio.create_task(self.session.run(), name="session")
        self._session_task.add_done_callback(self._session_ended)
        if len(self.screen_stack) > 1:
            self.switch_screen(AuditScreen(self.session))
        else:
            self.push_screen(AuditScreen(self.session))

    def _session_ended(self, task: asyncio.Task[None]) -> None:
        if self._leaving or task.cancelled():
            return
        from kubeshield_tui.errors import KubeShieldError

        error = task.exception()
        if isinstance(error, KubeShieldError):
            self._say_error(f"{error.message}. {error.hint}")
        elif error is not None:
            self._say_error(f"internal error: {type(error).__name__}: {error}")

    def _say_error(self, sentence: str) -> None:
        from kubeshield_tui.ui.screens.notice import NoticeScreen

        back = self._offer is not None
        self.push_screen(NoticeScreen(printable(sentence, 2000, lines=True), can_go_back=back), self._after_error)

    def _after_error(self, back: bool | None) -> None:
        if back and self._offer is not None:
            self.session = None
            self._ask()
        else:
            self.exit()

    async def action_leave(self) -> None:
        """End the session in order, then the app."""
        if self._leaving:
            return
        self._leaving = True
        if self.session is not None and self._session_task is not None:
            objects = len(self.session.store.objects)
            what = f"removing {objects} of our objects" if objects else "closing vantages"
            self.notify(f"{what} ...", markup=False, timeout=CLOSE_SECONDS)
            self.run_worker(self._close_and_exit(), exclusive=True, group="leave", exit_on_error=False)
        else:
            self.exit()

    async def _close_and_exit(self) -> None:
        assert self.session is not None
        assert self._session_task is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                self._session_task.cancel()  # its own clean-up closes the session
                await asyncio.gather(self._session_task, return_exceptions=True)
                await self.session.close()
        self.exit()

    def action_help(self) -> None:
        """Show the keys."""
        from kubeshield_tui.ui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def action_picture(self) -> None:
        """Save the screen as SVG."""
        path = self.save_screenshot()
        self.notify(f"saved {path}", markup=False)
