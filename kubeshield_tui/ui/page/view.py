"""One cell and all that its page is drawn from."""

from __future__ import annotations

from typing import NamedTuple

from kubeshield_tui.judgement.chain import AUTHENTICATION, first_denying
from kubeshield_tui.judgement.comparison import DISAGREEMENTS, Code
from kubeshield_tui.model.cluster import Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Judgement, Layer
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.proposals import Proposal
from kubeshield_tui.session.store import Cell, Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.ui.symbols import UNICODE, Alphabet


class CellView(NamedTuple):
    """What is known of a cell at a moment, and the width and signs that it is drawn with."""

    store: Store
    firewalls: Firewalls
    worlds: Worlds
    key: CellKey
    now: float
    width: int
    raw: bool = False
    """With rules and policies in full, as they were read."""
    alphabet: Alphabet = UNICODE
    exact: tuple[Layer, ...] = ()
    """Network layers as they are now, in words about this cell alone."""
    proposals: tuple[Proposal, ...] | None = None
    """Ways to close it; None where nobody asked for them yet."""

    @property
    def cell(self) -> Cell:
        """What is known of it."""
        return self.store.cell(self.key)

    @property
    def observation(self) -> Observation | None:
        """The last answer."""
        return self.cell.observation

    @property
    def judgement(self) -> Judgement | None:
        """What that amounts to; none for a cell that has no answer any more."""
        return self.cell.judgement if self.cell.observation is not None else None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers on the visitor's way, in its order: as they were judged, in the words of `exact` where that says the
        same; without an answer that was judged, as they are now.
        """
        judgement = self.judgement
        if judgement is None:
            return self.exact
        exact = {(layer.layer, layer.domain, layer.verdict): layer for layer in self.exact}
        return tuple(exact.get((layer.layer, layer.domain, layer.verdict), layer) for layer in judgement.layers)

    @property
    def network(self) -> tuple[Layer, ...]:
        """The same without authentication."""
        return tuple(layer for layer in self.layers if layer.layer != AUTHENTICATION)

    @property
    def decider(self) -> Layer | None:
        """The first layer that denies."""
        return first_denying(self.layers)

    @property
    def disagrees(self) -> bool:
        """Rules and wire do not agree."""
        judgement = self.judgement
        return judgement is not None and judgement.comparison.code in DISAGREEMENTS

    @property
    def passed_it(self) -> bool:
        """The layer that should have decided let the packet pass."""
        judgement = self.judgement
        return judgement is not None and judgement.comparison.code in {Code.NOT_ENFORCED, Code.BYPASSED}

    @property
    def endpoint(self) -> Endpoint | None:
        """Where to; None once it is gone."""
        return self.store.endpoints.get(self.key.endpoint)

    @property
    def vantage(self) -> Vantage | None:
        """Where from."""
        return self.store.vantages.get(self.key.vantage)

    def inventory(self, cluster: str) -> Inventory | None:
        """What is known of a cluster."""
        return self.store.clusters.get(cluster)
