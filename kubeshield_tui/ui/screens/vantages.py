"""Where it is asked from: health, what each is, what each cannot see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.report.enforced import ENFORCED
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.summary import WORDS
from kubeshield_tui.ui.symbols import STATUS_TOKENS, status_glyph
from kubeshield_tui.ui.widgets.pager import Line


class VantagesScreen(PageScreen[None]):
    """All vantages."""

    def __init__(self, session: SessionControl) -> None:
        super().__init__()
        self.session = session
        self.store = session.store

    def title_lines(self) -> Sequence[Line]:
        """How many."""
        return (((f" {len(self.store.vantages)} vantages", "strong"),),)

    def page_lines(self) -> Sequence[Line]:
        """Each with its facts; then what the clusters are, and what could not be read, is not asked or was left."""
        lines = [line for vantage in self.store.vantages.values() for line in self._lines(vantage)]
        lines.extend(
            ((f" cluster {inventory.cluster.id}: {each.what} {each.name}", ""), (f"  {each.evidence}", "quiet"))
            for inventory in self.store.clusters.values()
            for each in inventory.cluster.recognised
        )
        lines.extend(line for cluster in self.store.clusters for line in self._enforcement(cluster))
        lines.extend(((f" not readable: {denied.what} ({denied.why})", "unproven"),) for denied in self.store.denied)
        lines.extend(
            ((f" cluster {watch.cluster}: {WORDS[watch.status]}: {watch.what} ({watch.detail})", "unproven"),)
            for watch in self.store.watches.values()
            if watch.status in WORDS
        )
        lines.extend(
            ((f" not asked: {skipped.name}: {skipped.why}", "quiet"),)
            for inventory in self.store.clusters.values()
            for skipped in inventory.skipped
        )
        lines.extend(
            ((f" cluster {failed.context}: {failed.message}. {failed.hint}", "exposed"),)
            for failed in self.store.failed_clusters.values()
        )
        lines.extend(((f" ours in the cluster: {shown}", "simulated"),) for _, shown in self.store.objects)
        return lines

    def _enforcement(self, cluster: str) -> Iterator[Line]:
        known = enforcement(self.store, self.session.settings, cluster)
        token = {True: "reachable", False: "exposed", None: "unproven"}[known.enforces]
        yield ((f" cluster {cluster}: {ENFORCED[known.enforces]}", token),)
        for sentence in known.evidence:
            yield ((f"     {sentence}", "quiet"),)

    def _lines(self, vantage: Vantage) -> Iterator[Line]:
        token = STATUS_TOKENS[vantage.status]
        glyph = status_glyph(self.kubeshield.alphabet, vantage.status)
        yield ()
        yield ((f" {glyph} ", token), (vantage.id, "strong"), (f"  zone {vantage.zone}, {vantage.status}", token))
        facts = vantage.facts
        if vantage.detail and (facts is None or vantage.detail != facts.runner):
            yield ((f"     {vantage.detail}", "" if facts else "exposed"),)
        if facts is None:
            return
        host = f" on {facts.host_name}" if facts.host_name else ""
        user = f" as {facts.user}" if facts.user else ""
        room = f", {facts.in_flight:,} probes at once" if facts.in_flight else ""
        yield ((f"     {facts.runner}{host}{user}{room}", "quiet"),)
        if facts.node:
            yield (
                (
                    f"     node {facts.node}   labels {', '.join(f'{key}={value}' for key, value in facts.labels)}",
                    "quiet",
                ),
            )
        if facts.created:
            yield ((f"     {facts.created}, ours, removed at the end", "simulated"),)
        if facts.addresses:
            yield ((f"     addresses {', '.join(facts.addresses[:8])}", "quiet"),)
        for text in facts.cannot_see:
            yield ((f"     {text if text.startswith('warning: ') else f'cannot see: {text}'}", "unproven"),)
