"""Pictures of every screen, made from a session that is over: the same session gives the same pictures."""

from __future__ import annotations

from pathlib import Path

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.offer import ContextChoice, Offer
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.app import KubeShieldApp
from kubeshield_tui.ui.widgets.matrix import Matrix

SIZES = ((80, 24), (120, 40), (200, 50))
SCREENS = ("matrix", "cell", "what-if", "one-failure", "findings", "vantages", "expectations", "help", "welcome")
PRESSED = {"what-if": ("d", "p"), "one-failure": ("1",), "help": ("question_mark",)}
"""Keys that lead to a screen from the grid. `d p`: policies left out."""


class _Still:
    """A session that is over: it shows its store and does nothing."""

    def __init__(self, session: SessionControl) -> None:
        self.settings = session.settings
        self.store = session.store
        self.firewalls = session.firewalls
        self.remedies = session.remedies
        self.worlds = session.worlds
        self.chains = session.chains

    async def run(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    def ask_again(self, keys: object) -> int:
        """Ask nothing."""
        return 0

    def pause(self, paused: bool) -> None:
        """Do nothing."""

    async def self_test(self, cluster: str) -> None:
        """Nothing is made any more."""

    async def hear_opinions(self, keys: object) -> None:
        """Nothing is asked any more."""

    async def inspect(self, key: object) -> None:
        """Nothing is asked any more."""

    async def read_rules(self, key: object, *, with_pods: bool = False) -> None:
        """Read nothing."""

    async def witness(self, key: object, *, with_pods: bool = False) -> None:
        """Watch nothing."""


async def write_screenshots(directory: Path, session: SessionControl, theme: str | None = None) -> list[Path]:
    """Write an SVG of each screen in each size; returns their paths."""
    paths = []
    for width, height in SIZES:
        for name in SCREENS:
            picture = await _picture(session, name, (width, height), theme)
            paths.append(_write(directory / f"{width}x{height}-{name}.svg", picture))
    return paths


def _write(path: Path, picture: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture, encoding="utf-8")
    return path


async def _picture(session: SessionControl, name: str, size: tuple[int, int], theme: str | None) -> str:
    offer = Offer(contexts=(ContextChoice("prod-eu", "https://203.0.113.10:6443", True),), ssh_hosts=("jump",))
    still = _Still(session)
    settings = Settings() if name == "welcome" else session.settings
    app = KubeShieldApp(settings, lambda _: still, (lambda: offer) if name == "welcome" else None, theme=theme)
    async with app.run_test(size=size) as pilot:
        while len(app.screen_stack) < 2:
            await pilot.pause()
        await pilot.pause()
        if name == "cell":
            app.screen.open_cell(_interesting(session))  # type: ignore[attr-defined]
        elif name in {"findings", "vantages", "expectations"}:
            await app.screen.run_action(name)
        await pilot.press(*PRESSED.get(name, ()))
        while name == "what-if" and app.screen.query_one(Matrix).lens.what_if is None:
            await pilot.pause()  # it is worked out in bites
        await pilot.pause()
        return app.export_screenshot(title="KubeShield", simplify=True)


def _interesting(session: SessionControl) -> CellKey:
    """The deepest proven block, if there is one: it has the most to tell."""
    cells = session.store.cells
    depths = {
        key: cell.judgement.depth or 0
        for key, cell in cells.items()
        if cell.judgement is not None and cell.verdict is Verdict.BLOCKED
    }
    return max(depths, key=depths.__getitem__, default=next(iter(cells)))
