"""Pictures of every screen: each shows its screen, and an unfinished one is never drawn."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from kubeshield_tui.ui import screenshots
from tests.ui import walls
from tests.ui.stage import FakeSession

SHOWN = {
    "matrix": "kube-apiserver",
    "cell": "ANSWERS",
    "what-if": "WHAT IF",
    "one-failure": "ONE FAILURE AWAY",
    "findings": "findings",
    "vantages": "pod:shop",
    "expectations": "Expectations",
    "help": "would open",
    "welcome": "prod-eu",
}


async def test_each_picture_shows_its_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screenshots, "SIZES", ((120, 40),))
    paths = await screenshots.write_screenshots(tmp_path, FakeSession(walls.estate()))
    texts = {path.stem.removeprefix("120x40-"): unescape(path.read_text("utf-8")) for path in paths}
    texts = {name: text.replace("\xa0", " ") for name, text in texts.items()}
    assert list(texts) == list(screenshots.SCREENS)
    assert {name: SHOWN[name] in text for name, text in texts.items()} == dict.fromkeys(texts, True)
    grid = texts.pop("matrix")
    assert [name for name, text in texts.items() if text == grid] == []
