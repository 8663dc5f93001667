"""Colours: themes as TOML, checked before they are registered, and our own tokens with defaults for all of them.

A bad theme costs one sentence, never the app. Searched in the user's folder, beside the package (a checkout), in it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.theme import Theme

from kubeshield_tui.model.text import printable
from kubeshield_tui.ui.tokens import TOKENS

COLOURS = (
    "primary",
    "secondary",
    "warning",
    "error",
    "success",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "boost",
)


class Themes(NamedTuple):
    """Themes that can be used, and sentences on those that can't."""

    loaded: tuple[Theme, ...]
    failed: tuple[str, ...]


def theme_folders() -> Iterator[Path]:
    """Folders that are searched, the user's first."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    yield Path(config) / "kubeshield" / "themes"
    package = Path(__file__).resolve().parent.parent
    yield package.parent / "themes"
    yield package / "themes"


def load_themes() -> Themes:
    """Load all themes; of equal names the first found counts."""
    loaded: dict[str, Theme] = {}
    failed: list[str] = []
    for folder in theme_folders():
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                theme = read_theme(path)
            except (OSError, ValueError, TypeError) as error:
                failed.append(f"theme {path.name}: {printable(error, 200)}")
            else:
                loaded.setdefault(theme.name, theme)
    return Themes(tuple(loaded.values()), tuple(failed))


def read_theme(path: Path) -> Theme:
    """Read one theme. Raises ValueError or TypeError naming the key."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    colours = {name: told[name] for name in COLOURS if name in told} | dict(told.get("variables", {}))
    for name, value in colours.items():
        try:
            Color.parse(str(value))
        except ColorParseError as error:
            raise ValueError(f"{name}: {value!r} is no colour") from error
    return Theme(**told)


class Palette:
    """Rich styles by token, resolved once a theme."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.background = _style(variables.get("background", "#000000"), ground=True)
        self.text = _style(variables.get("foreground", "#ffffff"))
        self.panel = _style(variables.get("panel", "#202020"), ground=True)
        self.strong = self.text + Style(bold=True)
        self._tokens = {name: _style(variables.get(f"verdict-{name}", colour)) for name, colour in TOKENS.items()}
        for name in ("exposed", "broken", "heading"):
            self._tokens[name] += Style(bold=True)
        self._tokens["label"] = self._tokens["quiet"]

    def on_background(self) -> Palette:
        """The same, with the background in every style: for who draws whole lines."""
        ours = Palette({})
        ours.background, ours.panel = self.background, self.panel
        ours.text, ours.strong = self.background + self.text, self.background + self.strong
        ours._tokens = {name: self.background + style for name, style in self._tokens.items()}
        return ours

    def token(self, name: str) -> Style:
        """Style of a token; unknown ones are plain."""
        return self.strong if name == "strong" else self._tokens.get(name, self.text)


def _style(value: str, *, ground: bool = False) -> Style:
    try:
        colour = Color.parse(value).rich_color
    except ColorParseError:
        return Style()
    return Style(bgcolor=colour) if ground else Style(color=colour)
