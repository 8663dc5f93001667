"""The what-if of a grid: worked out beside it, renewed when what layers are made of changed, put back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.screen import Screen
from textual.worker import Worker

from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.layers_off import LeftOut
from kubeshield_tui.session.store import Changes, Store
from kubeshield_tui.session.what_if import WhatIf
from kubeshield_tui.ui.widgets.lens import Lens

RENEW_SECONDS = 1.0
"""At most so often all is worked out anew; cells that are judged anew are followed at once."""


class Imagining:
    """What one screen imagines, if anything."""

    def __init__(
        self, screen: Screen[None], store: Store, chains: Chains, lens: Lens, show: Callable[[], None]
    ) -> None:
        self.chosen: LeftOut | None = None
        self.working: WhatIf | None = None
        """The one that is being worked out."""
        self._screen = screen
        self._store = store
        self._chains = chains
        self._lens = lens
        self._show = show
        self._changed = asyncio.Event()
        self._worker: Worker[None] | None = None

    def start(self, chosen: LeftOut) -> None:
        """Imagine that something is not there. It is shown once it is worked out."""
        self.stop()
        self.chosen = chosen
        self._worker = self._screen.run_worker(self._work(chosen), group="what if", exit_on_error=False)

    def stop(self) -> None:
        """Put back what is."""
        if self._worker is not None:
            self._worker.cancel()
        self._worker = self.chosen = self.working = self._lens.what_if = None
        self._show()

    def follow(self, changes: Changes) -> None:
        """Take over what changed since the last frame."""
        if self._lens.what_if is not None and changes.cells:
            self._lens.what_if.update(changes.cells)
        if changes.structure or changes.status or changes.vantages:
            self._changed.set()

    async def _work(self, chosen: LeftOut) -> None:
        while True:
            self._changed.clear()
            self.working = WhatIf(self._store, self._chains, chosen.names)
            await self.working.work_out()
            self._lens.what_if, self.working = self.working, None
            self._show()
            await asyncio.sleep(RENEW_SECONDS)
            await self._changed.wait()
