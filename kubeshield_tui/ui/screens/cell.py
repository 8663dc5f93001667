"""Everything about one cell, live."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from textual.binding import Binding, BindingType

from kubeshield_tui.errors import KubeShieldError
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.offer import reader_objects_of
from kubeshield_tui.session.proposals import Proposal
from kubeshield_tui.session.query import keys_of_row
from kubeshield_tui.ui.page.answers import head
from kubeshield_tui.ui.page.cell import SECTIONS, cell_page, section_line
from kubeshield_tui.ui.page.remedies import applied_to, is_new, shown_for_consent
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.proving import ask_controls
from kubeshield_tui.ui.screens.consent import ConsentScreen
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.selftest import offer_self_test
from kubeshield_tui.ui.widgets.pager import Line, Pager

REFRESH_SECONDS = 0.5


class OnHosts(Protocol):
    """What is done with the hosts on a cell's way; `with_pods`: the user agreed to pods that it takes."""

    async def __call__(self, key: CellKey, *, with_pods: bool = False) -> None:
        """Do it."""
        ...


class CellScreen(PageScreen[None]):
    """One cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"section({number})", name, show=False) for number, name in enumerate(SECTIONS, 1)),
        Binding("r", "again", "Ask again", id="page.ask"),
        Binding("p", "prove", "Prove", id="page.prove"),
        Binding("w", "rulesets", "Read rules", id="page.rulesets"),
        Binding("W", "raw", "Rules as read", show=False, id="page.raw_rules"),
        Binding("t", "witness", "Watch a probe", id="page.witness"),
        Binding("m", "opinion('cell')", "Ask nmap", id="page.nmap"),
        Binding("M", "opinion('row')", "Ask nmap from everywhere", show=False, id="page.nmap_row"),
        Binding("i", "inspect", "Inspect", id="page.inspect"),
        Binding("a", "remedy", "Propose and apply a remedy", show=False, id="page.remedy"),
        Binding("S", "save_remedy", "Save the remedy's YAML", show=False, id="page.save_remedy"),
        Binding("u", "take_back", "Take the remedy back", show=False, id="page.take_back"),
        Binding("s", "save", "Save", id="page.save"),
        Binding("P", "self_test", "Prove enforcement", show=False, id="page.self_test"),
    ]
    keys: ClassVar[Line] = (
        (" esc", "heading"), (" back ", "quiet"), ("1-9", "heading"), (" go ", "quiet"),
        ("r", "heading"), (" ask ", "quiet"), ("p", "heading"), (" prove ", "quiet"),
        ("w", "heading"), (" rules ", "quiet"), ("t", "heading"), (" witness ", "quiet"),
        ("m", "heading"), (" nmap ", "quiet"), ("i", "heading"), (" inspect ", "quiet"),
        ("y", "heading"), (" copy ", "quiet"), ("s", "heading"), (" save ", "quiet"),
        ("?", "heading"), (" help", "quiet"),
    )  # fmt: skip

    def __init__(self, session: SessionControl, key: CellKey) -> None:
        super().__init__()
        self.session = session
        self.store = session.store
        self.key = key
        self._raw = False
        self._proposals: tuple[Proposal, ...] | None = None

    def on_mount(self) -> None:
        """Keep it live."""
        self.set_interval(REFRESH_SECONDS, self.fill)

    def title_lines(self) -> Sequence[Line]:
        """What this cell is, and its verdict."""
        return (head(self._view(())),)

    def page_lines(self) -> Sequence[Line]:
        """The page."""
        return cell_page(self._view(self.session.chains.exactly(self.key).layers))

    def _view(self, exact: tuple[Layer, ...]) -> CellView:
        return CellView(
            store=self.store,
            firewalls=self.session.firewalls,
            worlds=self.session.worlds,
            key=self.key,
            now=time.time(),
            width=self.size.width or 80,
            raw=self._raw,
            alphabet=self.kubeshield.alphabet,
            exact=exact,
            proposals=self._proposals,
        )

    def action_section(self, number: int) -> None:
        """Go to a section."""
        self._show(SECTIONS[number - 1])

    def _show(self, section: str) -> None:
        pager = self.query_one(Pager)
        pager.action_go(section_line(pager.lines, section))

    def action_again(self) -> None:
        """Ask this cell again."""
        count = self.session.ask_again((self.key,))
        self.notify("asking again" if count else "this can't be asked", markup=False, timeout=2)

    def action_prove(self) -> None:
        """Ask the controls that a block here is proven by, then this cell."""
        ask_controls(self, self.session, self.key)

    def action_self_test(self) -> None:
        """Offer to show whether this cell's cluster enforces policies."""
        offer_self_test(self, self.session, self.key)

    def action_opinion(self, what: str) -> None:
        """Ask nmap of this cell, or of its endpoint from every vantage."""
        keys = (self.key,) if what == "cell" else keys_of_row(self.store, self.key)
        self.notify("asking nmap ...", markup=False, timeout=2)
        self.run_worker(self._look(self.session.hear_opinions(keys)), group="opinions", exit_on_error=False)

    def action_inspect(self) -> None:
        """Hold the whole safe conversation with this endpoint."""
        self.notify("inspecting: safe requests, nothing is followed ...", markup=False, timeout=2)
        self.run_worker(self._look(self.session.inspect(self.key)), group="inspect", exit_on_error=False)

    async def _look(self, asked: Awaitable[None]) -> None:
        await asked
        self.fill()
        self._show("witnesses")

    def action_rulesets(self) -> None:
        """Read the rules of the hosts on this cell's way."""
        words = "reading rules, read-only ..."
        self.run_worker(self._on_hosts(self.session.read_rules, words, "layers"), group="rulesets")

    def action_witness(self) -> None:
        """Watch a probe pass them."""
        words = "a probe between two readings ..."
        self.run_worker(self._on_hosts(self.session.witness, words, "witnesses"), group="rulesets")

    def action_raw(self) -> None:
        """Show the rules as they were read, or leave them out again."""
        self._raw = not self._raw
        self.fill()

    async def _on_hosts(self, do: OnHosts, words: str, section: str) -> None:
        pods = self._pods_needed()
        agreed = False
        if pods:
            question = "SSH does not lead to every host on this way. To read the rules there, these would be created:"
            agreed = await self.app.push_screen_wait(ConsentScreen(question, pods))
        self.notify(words, markup=False, timeout=2)
        await do(self.key, with_pods=agreed)
        self.fill()
        self._show(section)

    def _pods_needed(self) -> list[str]:
        """Objects that reading every host on the way would create."""
        image = self.session.settings.pod_image
        readers = dict.fromkeys(stop.reader for stop in self.session.firewalls.way(self.key))
        found = [self.store.vantages[each].spec for each in readers if each is not None]
        return [line for spec in found if not spec.host for line in reader_objects_of(spec, image)]

    def action_remedy(self) -> None:
        """Show what would close this; then apply it, after a yes to its text and to what it changes."""
        if self._proposals is None:
            self._proposals = self._propose()
            self.fill()
            self._show("findings")
            if not self._proposals:
                self.notify("nothing to close here", markup=False, timeout=3)
            return
        self.run_worker(self._apply(), group="remedy", exit_on_error=False)

    def _propose(self) -> tuple[Proposal, ...]:
        """Ways to close what is found in this cell, each once."""
        found = [each for each in self.store.findings.values() if (each.endpoint, each.vantage) == self.key]
        made = [proposal for finding in found for proposal in self.session.remedies.propose(finding)]
        return tuple({(each.cluster, each.text or str(each.cells)): each for each in made}.values())

    async def _apply(self) -> None:
        proposal = next((each for each in self._proposals or () if is_new(self.store, each)), None)
        if proposal is None:
            self.notify("there is no policy to apply here", markup=False, timeout=4)
            return
        question = f"In cluster {proposal.cluster} this would be made. It stays when the session ends; u takes it back."
        consent = ConsentScreen(question, shown_for_consent(proposal), "y applies it, n does not")
        if not await self.app.push_screen_wait(consent):
            return
        try:
            applied = await self.session.remedies.apply(proposal)
        except KubeShieldError as error:
            self._failed(error)
        else:
            self.notify(f"made {applied.shown}; its cells are asked again, u takes it back", markup=False, timeout=6)
        self.fill()

    def action_take_back(self) -> None:
        """Remove the policy that was applied to this cell last."""
        self.run_worker(self._take_back(), group="remedy", exit_on_error=False)

    async def _take_back(self) -> None:
        ours = applied_to(self.store, self.key)
        if not ours:
            self.notify("nothing was applied here", markup=False, timeout=3)
            return
        try:
            await self.session.remedies.take_back(ours[-1])
        except KubeShieldError as error:
            self._failed(error)
        else:
            self.notify(f"{ours[-1].shown} is taken back; its cells are asked again", markup=False, timeout=6)
        self.fill()

    def _failed(self, error: KubeShieldError) -> None:
        told = ". ".join(part for part in (error.message, error.hint) if part)
        self.notify(told, severity="error", markup=False, timeout=15)

    def action_save_remedy(self) -> None:
        """Save the proposed policies as YAML that kubectl takes."""
        if self._proposals is None:
            self._proposals = self._propose()
        drafts = [each.remedy.draft for each in self._proposals if each.remedy.draft is not None]
        if not drafts:
            self.notify("there is no policy to save here", markup=False, timeout=4)
            return
        named = "-".join(dict.fromkeys(f"{draft.namespace}-{draft.name}" for draft in drafts))
        self._write(f"kubeshield-{named}.yaml", "---\n".join(draft.text for draft in drafts))

    def action_save(self) -> None:
        """Save the page as text."""
        self._write(f"kubeshield-{self.key[0]}@{self.key[1]}.txt", self.page_text())

    def _write(self, name: str, text: str) -> None:
        safe = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in name)
        path = Path(safe).absolute()
        try:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            self.notify(f"can't write {path}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)
