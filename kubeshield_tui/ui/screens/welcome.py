"""The first screen: what can be chosen, what would be sent and created, what rights are missing.

Nothing is connected to before a key says so: `c` for access reviews alone, `s` for the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, cast

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Checkbox, Input, SelectionList, Static
from textual.widgets.selection_list import Selection

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.vantage import VantageSpec, Zone, parse_vantage
from kubeshield_tui.session.offer import Offer, intent_of
from kubeshield_tui.session.preflight import ClusterStanding, check_rights, wanted_in
from kubeshield_tui.settings.schema import Settings
from kubeshield_tui.ui.widgets.choices import Choices

if TYPE_CHECKING:
    from kubeshield_tui.ui.app import KubeShieldApp


class WelcomeScreen(Screen[None]):
    """Starts a session, or asks for the training range."""

    DEFAULT_CSS = """
    WelcomeScreen #head { background: $panel; padding: 0 1; height: 1; }
    WelcomeScreen Horizontal { height: 1fr; }
    WelcomeScreen .side { width: 1fr; padding: 0 1; }
    WelcomeScreen SelectionList { height: auto; max-height: 12; border: none; padding: 0; background: $background; }
    WelcomeScreen SelectionList:focus { border: none; }
    WelcomeScreen Input { border: none; height: 1; padding: 0 1; background: $panel; margin: 1 0 0 0; }
    WelcomeScreen .heading { color: $verdict-heading; text-style: bold; margin: 1 0 0 0; }
    WelcomeScreen #problem { color: $verdict-exposed; height: auto; }
    WelcomeScreen Button { margin: 1 0; }
    WelcomeScreen Checkbox { border: none; background: $background; padding: 0; margin: 1 0 0 0; }
    WelcomeScreen #keys { background: $panel; padding: 0 1; height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "start", "Start", id="welcome.start"),
        Binding("c", "check", "Check rights", id="welcome.check"),
        Binding("d", "demo", "Training range", id="welcome.demo"),
        Binding("z", "zone", "Zone", id="welcome.zone"),
    ]

    def __init__(self, offer: Offer, settings: Settings) -> None:
        super().__init__()
        self._offer = offer
        self._settings = settings
        self._specs: dict[str, VantageSpec] = {}
        """By id: one namespace may be listed in several clusters."""
        self._zones: dict[str, Zone] = dict(settings.zones)
        for text in ("local", *(f"ssh:{host}" for host in offer.ssh_hosts)):
            try:
                self._specs[text] = parse_vantage(text)
            except SettingsError:
                continue
        self._specs |= {spec.id: spec for spec in offer.vantages}
        self._chosen: set[str] = {spec.id for spec in offer.vantages} or {"local"}
        self._standings: dict[str, ClusterStanding] = {}
        """What access reviews told, by context."""
        self._shown = ""
        """What would be created, as it was last shown."""

    def compose(self) -> ComposeResult:
        """Choices on the left, consequences on the right."""
        yield Static(id="head")
        with Horizontal():
            with Vertical(classes="side"):
                yield Static("Clusters", classes="heading")
                yield Choices(*self._contexts(), id="contexts")
                yield Static("Ask from", classes="heading")
                yield Choices(*self._vantages(), id="vantages")
                yield Input(placeholder="add: ssh:HOST, pod:NAMESPACE, pod:NAMESPACE/POD, node:NODE", id="add")
                yield Static(Content("\n".join(self._offer.problems)), id="problem")
            with VerticalScroll(classes="side", can_focus=False):
                yield Static("Rights", classes="heading")
                yield Static(id="rights")
                yield Static("Will be sent", classes="heading")
                yield Static(id="sends")
                yield Static("Will be created", classes="heading")
                yield Static(id="creates")
                yield Checkbox("Yes, create these and remove them at the end", id="consent")
                yield Button("Start (s)", variant="primary", id="start")
        yield Static(Content("s start   c check rights   d training range   z zone   space choose   q quit"), id="keys")

    def on_mount(self) -> None:
        """Say what it would do."""
        self.query_one("#vantages").focus()
        self._tell()

    def _contexts(self) -> list[Selection[str]]:
        wanted = set(self._settings.contexts)
        return [
            Selection(
                Content.assemble(choice.name, (f"  {choice.server}", "$text-muted")),
                choice.name,
                choice.name in wanted if wanted else choice.is_current,
            )
            for choice in self._offer.contexts
        ]

    def _vantages(self) -> list[Selection[str]]:
        return [
            Selection(
                Content.assemble(
                    name, self._mark(spec), (f"  zone {self._zones.get(spec.text, spec.default_zone)}", "$text-muted")
                ),
                name,
                name in self._chosen,
            )
            for name, spec in self._specs.items()
        ]

    def _mark(self, spec: VantageSpec) -> tuple[str, str]:
        """How the rights of a vantage stand, as a sign and a word; nothing before that was asked."""
        if not self._standings:
            return "", ""
        contexts = self.chosen().contexts
        told = self._standings.get(spec.cluster or (contexts[0] if contexts else ""))
        found = next((each for each in told.standings if each.wanted.subject == spec.id), None) if told else None
        if found is None or found.works is None:
            return "", ""
        alphabet = cast("KubeShieldApp", self.app).alphabet
        if found.works:
            return f"  {alphabet.ready} may", "$verdict-reachable"
        return f"  {alphabet.broken} may not", "$verdict-exposed"

    def chosen(self) -> Settings:
        """Settings of what is chosen now."""
        given = self._settings.contexts
        # The first one is where pods without a cluster of their own are made: the order of the flags must stay.
        contexts = tuple(
            sorted(
                self.query_one("#contexts", SelectionList).selected,
                key=lambda name: given.index(name) if name in given else len(given),
            )
        )
        vantages = tuple(spec for name, spec in self._specs.items() if name in self._chosen)
        texts = {spec.text for spec in vantages}
        return replace(
            self._settings,
            contexts=contexts,
            discovery=self._settings.discovery and bool(contexts),
            vantages=vantages,
            zones=tuple((text, zone) for text, zone in self._zones.items() if text in texts),
            consent=self.query_one("#consent", Checkbox).value,
        )

    def _tell(self) -> None:
        settings = self.chosen()
        intent = intent_of(settings)
        self.query_one("#sends", Static).update(Content("\n".join(f"• {line}" for line in intent.sends)))
        creates = "\n".join(f"• {line}" for line in intent.creates) or "nothing"
        self.query_one("#creates", Static).update(Content(creates))
        self.query_one("#head", Static).update(Content(f"KubeShield   {self._before()} sent before you say start"))
        self.query_one("#rights", Static).update(Content("\n".join(self._rights(settings))))
        consent = self.query_one("#consent", Checkbox)
        consent.display = bool(intent.creates)
        if creates != self._shown:
            consent.value = False  # a yes is to the list that was shown, not to what is added to it
        self._shown = creates

    def _before(self) -> str:
        """What was done already."""
        if self._standings:
            return "rights were reviewed; no probe is"
        if self._offer.was_read:
            return "namespaces and nodes were listed; no probe is"
        return "nothing is connected to and nothing is"

    def _rights(self, settings: Settings) -> Iterator[str]:
        """What access reviews told of what is chosen, and what asking them would mean."""
        unasked = []
        for context in settings.contexts:
            wanted = wanted_in(settings, context, settings.contexts[0], live=True)
            told = self._standings.get(context)
            if told is not None:
                yield from told.lines(wanted)
            if told is None or not told.knows(wanted):
                unasked.append(context)
        if unasked:
            checked = "not all checked" if self._standings else "not checked"
            yield (
                f"• {checked}: c asks {', '.join(unasked)} for the version and, by access reviews, what this user may "
                "do. Reviews change nothing"
            )
        elif not settings.contexts:
            yield "• none needed: no cluster is chosen"

    @on(SelectionList.SelectedChanged, "#vantages")
    def _vantages_changed(self) -> None:
        self._chosen = set(self.query_one("#vantages", SelectionList).selected)
        self._tell()

    @on(SelectionList.SelectedChanged, "#contexts")
    @on(Checkbox.Changed)
    def _changed(self) -> None:
        self._tell()

    @on(Input.Submitted, "#add")
    def _add(self, event: Input.Submitted) -> None:
        try:
            spec = parse_vantage(event.value.strip())
        except SettingsError as error:
            self._complain(str(error))
            return
        self._specs[spec.id] = self._offer.resolve(spec)
        self._chosen.add(spec.id)
        event.input.value = ""
        self._complain("")
        self._refill()

    def _refill(self) -> None:
        listed = self.query_one("#vantages", SelectionList)
        highlighted = listed.highlighted
        listed.clear_options()
        listed.add_options(self._vantages())
        listed.highlighted = highlighted
        self._tell()

    def _complain(self, sentence: str) -> None:
        self.query_one("#problem", Static).update(Content(sentence))

    def action_check(self) -> None:
        """Have the chosen clusters review what the run would need."""
        settings = self.chosen()
        if not settings.contexts:
            self._complain("Choose a cluster: rights are rights in one")
            return
        self._complain("")
        self.query_one("#rights", Static).update(Content(f"• asking {', '.join(settings.contexts)} ..."))
        self.run_worker(self._check(settings), exclusive=True, group="rights")

    async def _check(self, settings: Settings) -> None:
        told = await check_rights(settings, settings.contexts, live=True)
        self._standings |= {each.context: each for each in told}
        self._refill()

    def action_zone(self) -> None:
        """Give the highlighted vantage its next zone."""
        listed = self.query_one("#vantages", SelectionList)
        if listed.highlighted is None:
            return
        spec = self._specs[str(listed.get_option_at_index(listed.highlighted).value)]
        zones = list(Zone)
        now = self._zones.get(spec.text, spec.default_zone)
        self._zones[spec.text] = zones[(zones.index(now) + 1) % len(zones)]
        self._refill()

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Start, if there is something to ask and the consent that it needs."""
        settings = self.chosen()
        if not settings.vantages:
            self._complain("Choose at least one vantage to ask from")
        elif not settings.discovery and settings.targets is None:
            self._complain("Choose a cluster, or give targets with --targets")
        elif self._offer.was_read and settings.contexts[:1] != self._read_first():
            self._complain("The list was read from another cluster: choose that one, or start again with --context")
        elif any(spec.creates_pod for spec in settings.vantages) and not settings.consent:
            self._complain("Own pods are created only after you tick the box")
            self.query_one("#consent").focus()
        else:
            cast("KubeShieldApp", self.app).start(settings)

    def _read_first(self) -> tuple[str, ...]:
        """The cluster whose namespaces and nodes carry no name of a cluster."""
        current = tuple(choice.name for choice in self._offer.contexts if choice.is_current)
        return self._settings.contexts[:1] or current

    def action_demo(self) -> None:
        """Leave for the training range."""
        self.app.exit("demo")
