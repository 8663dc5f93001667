"""The page of a cell: what stands where at each size, and which lines are marked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.model import event as happened
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Comparison, Judgement, Layer, Proof, Verdict
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.page.answers import head
from kubeshield_tui.ui.page.cell import SECTIONS, cell_page, section_line
from kubeshield_tui.ui.symbols import PLAIN
from tests.ui.cells import AT, HOLDS, NOT_ENFORCED, judge, not_enforced, open_page, page_text, text_of, view_of
from tests.ui.stage import FakeSession, app_on, screen_text
from tests.unit.estate import answer
from tests.unit.policed import API_FROM_WEB, DENY_ALL, OPS, POD, WEB, estate, policy

SIZES = [(80, 24), (120, 40), (200, 50)]


def judged(store: Store, judgement: Judgement, state: State = State.OPEN) -> Store:
    judge(store, judgement, answer(judgement.key, AT, state))
    return store


def section(text: str, name: str) -> str:
    """One section of a page."""
    number = SECTIONS.index(name) + 1
    _, _, rest = text.partition(f" {number} {name.upper()}\n")
    return rest.partition(f"\n {number + 1} ")[0]


# --- what stands on the first screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_screen_has_the_three_answers_and_the_whole_path(size: tuple[int, int]) -> None:
    session = FakeSession(not_enforced())
    app = app_on(session)
    async with app.run_test(size=size) as pilot:
        await open_page(pilot, session)
        shown = screen_text(app).splitlines()
    assert "pod 10.244.1.7:8080  from pod:ops/ops-0 on n2" in shown[0]
    assert shown[0].rstrip().endswith("EXPOSED  depth 1")
    first = "\n".join(shown)
    for words in (
        "must be      blocked   baseline",
        "rules say    DENY      ingress-policy: isolated by",
        "≠ not-enforced",
        "then      not known: ",
        "observed     open      syn-ack in 1.0 ms",
        "2 of 2, ",
        "so           the policy says deny, and the connection got through",
        "✓ allow",
        "? unknown",
        "✗ DENY",
        "▲ should have decided here; the packet passed",
        "listener",
        "authentication",
    ):
        assert words in first, words


def test_a_wide_path_stands_side_by_side_and_points_at_who_decides() -> None:
    names, states, hosts, pointer, *_ = section(page_text(not_enforced(), width=120), "path").splitlines()
    assert names.split(" ── ") == [
        "   pod:ops/ops-0", "egress-policy", "source-firewall", "node-firewall", "ingress-policy", "listener ",
        "authentication",
    ]  # fmt: skip
    assert (hosts.rindex("n2"), hosts.index("n1")) == (names.index("source-firewall"), names.index("node-firewall"))
    assert states.index("✗ DENY") == names.index("ingress-policy") == pointer.index("▲")


def test_a_narrow_path_has_a_line_a_layer_with_its_decider() -> None:
    lines = section(page_text(not_enforced(), width=80), "path").splitlines()
    assert [line.strip().split("  ")[0] for line in lines[:5]] == [
        "pod:ops/ops-0 n2", "egress-policy", "source-firewall n2", "node-firewall n1", "ingress-policy"
    ]  # fmt: skip
    assert "? unknown   rules of n2 were not read" in lines[2]
    assert lines[4].index("✗ DENY") == lines[5].index("▲ should have decided here")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("agrees", "▲ decides here"),
        ("blocked-elsewhere", "▲ should have decided here; something else did"),
        ("bypassed", "▲ should have decided here; the packet passed"),
    ],
)
def test_the_pointer_says_whether_rules_and_wire_agree(code: str, says: str) -> None:
    judgement = replace(NOT_ENFORCED, comparison=Comparison(code=code, sentence="words"))
    assert says in page_text(judged(estate(DENY_ALL), judgement))


def test_where_nothing_denies_nobody_is_pointed_at() -> None:
    allow = Layer(layer="ingress-policy", verdict=Predicted.ALLOW, decider="no policy selects it for ingress")
    agrees = Comparison(code="agrees", sentence="open, as the rules say")
    judgement = replace(NOT_ENFORCED, layers=(allow, HOLDS), comparison=agrees)
    shown = page_text(judged(estate(DENY_ALL), judgement))
    assert "rules say    allow     all layers allow: ingress-policy" in shown
    assert "▲" not in section(shown, "path")
    assert (
        "n/a          vantage-egress, egress-policy, source-firewall, cloud-source, cloud-target, node-firewall"
        in shown
    )


def test_ascii_terminals_get_the_same_page_in_their_letters() -> None:
    shown = text_of(cell_page(view_of(not_enforced(), alphabet=PLAIN)))
    assert shown.isascii()
    assert "/ not-enforced" in shown
    assert "^ should have decided here" in shown


def test_a_name_that_is_too_long_never_pushes_the_verdict_out() -> None:
    shown = text_of([head(view_of(not_enforced(), width=60))])
    assert shown.rstrip().endswith("EXPOSED  depth 1")
    assert "…" in shown


# --- policies


def marked(text: str, sign: str) -> list[str]:
    return [line.partition(sign)[2].strip() for line in text.splitlines() if line.strip().startswith(sign)]


def test_the_lines_by_which_a_policy_isolates_are_marked() -> None:
    shown = section(page_text(not_enforced()), "layers")
    assert marked(shown, "▌") == [
        "podSelector:", "matchLabels:", "app: api", "policyTypes:", "- Ingress",
        "podSelector: {}", "policyTypes:", "- Ingress",
    ]  # fmt: skip
    assert "decides      NetworkPolicy payments/default-deny: DENY" in shown


def test_the_rule_that_admits_is_marked_and_the_policy_that_does_not_stays_quiet() -> None:
    key = CellKey(POD.id, WEB.id)
    shown = section(page_text(estate(DENY_ALL, API_FROM_WEB), key), "layers")
    assert "decides      NetworkPolicy payments/api-from-web ingress[0]: allow" in shown
    assert marked(shown, "▌")[:3] == ["- from:", "- namespaceSelector:", "matchLabels:"]
    assert "- port: http" in marked(shown, "▌")
    assert "policy       NetworkPolicy payments/default-deny: DENY" in shown


def test_the_one_field_that_failed_is_marked_as_a_near_miss() -> None:
    near = policy(
        "from-api",
        "payments",
        {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}, {"podSelector": {}}]},
                {"from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}], "ports": [{"port": 9090}]},
            ],
        },
    )
    shown = section(page_text(estate(near)), "layers")
    assert marked(shown, "~") in (
        ["ports:", "- port: 9090"],
        ["- ipBlock:", "cidr: 192.0.2.0/24"],
        ["- podSelector: {}"],
    )
    other = replace(near, spec=near.spec.replace("team: ops", "team: ops"))
    assert other == near
    shop = {"namespaceSelector": {"matchLabels": {"team": "shop"}}, "podSelector": {"matchLabels": {"app": "ops"}}}
    peers = policy("peers", "payments", {"podSelector": {}, "ingress": [{"from": [shop]}]})
    shown = section(page_text(estate(peers)), "layers")
    assert "podSelector ok" in shown
    assert [line.removeprefix("- ") for line in marked(shown, "~")] == [
        "namespaceSelector:", "matchLabels:", "team: shop"
    ]  # fmt: skip
    ports = policy("ports", "payments", {"podSelector": {}, "ingress": [{"ports": [{"port": 9090}]}]})
    shown = section(page_text(estate(ports)), "layers")
    assert "ingress[0]: ports[0] 9090/TCP: asked 8080/TCP; the peer matches" in shown
    assert [line.removeprefix("- ") for line in marked(shown, "~")] == ["ports:", "port: 9090"]


def test_a_long_policy_shows_what_matters_and_all_of_it_on_demand() -> None:
    blocks = [{"ipBlock": {"cidr": f"192.0.2.{number}/32"}} for number in range(200)]
    long = policy("long", "payments", {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": blocks}]})
    store = estate(long)
    shown = section(page_text(store), "layers")
    assert len(shown.splitlines()) < 40
    assert "more lines" in shown
    assert "cidr: 192.0.2.199/32" not in shown
    assert "cidr: 192.0.2.199/32" in page_text(store, raw=True)


def test_text_that_was_cut_is_marked_as_far_as_it_goes_and_what_is_no_yaml_shown_as_it_is() -> None:
    shown = page_text(estate(replace(DENY_ALL, spec="podSelector: {}\npolicyTypes:\n- Ingress\ningr…")))
    assert marked(shown, "▌") == ["podSelector: {}", "policyTypes:", "- Ingress"]
    assert "ingr…" in shown
    shown = page_text(estate(replace(DENY_ALL, spec="podSelector: {\n- x: [\n…")))
    assert marked(shown, "▌") == []
    assert "podSelector: {" in shown


def test_policies_that_nobody_is_known_to_enforce_are_told_with_the_key_that_tries() -> None:
    told = "in force?    nothing tells whether anybody enforces policies here: P tries it"
    assert told not in page_text(not_enforced())
    assert told in page_text(judged(estate(DENY_ALL, recognised=()), NOT_ENFORCED))


# --- proof, history, findings


def test_a_proven_block_names_both_controls_and_an_unproven_one_the_key() -> None:
    proof = Proof(
        vantage_alive=True, vantage_basis="answered", vantage_by=POD.id, target_alive=True, target_by="ssh:jump"
    )
    judgement = replace(NOT_ENFORCED, verdict=Verdict.BLOCKED, proof=proof)
    shown = section(page_text(judged(estate(DENY_ALL), judgement, State.FILTERED)), "proof")
    assert "target       ssh:jump saw it open around this answer" in shown
    assert "vantage      this vantage reached pod then" in shown
    assert "p asks" not in shown
    lacking = Proof(vantage_alive=True, vantage_basis="link", missing="no vantage saw this target open")
    judgement = replace(NOT_ENFORCED, verdict=Verdict.UNPROVEN, proof=lacking)
    shown = section(page_text(judged(estate(DENY_ALL), judgement, State.FILTERED)), "proof")
    assert "its gateway was on the link then" in shown
    assert "missing      no vantage saw this target open" in shown
    assert "p asks the controls now, then this cell" in shown


def test_history_tells_states_and_verdicts_the_newest_first() -> None:
    now, before = section(page_text(not_enforced()), "history").strip().splitlines()
    assert now.split()[2:5] == ["open", "(syn-ack)", "EXPOSED"]
    assert before.split()[2:5] == ["filtered", "(no-response)", "BLOCKED"]


def test_a_finding_has_because_verify_and_remedy() -> None:
    shown = section(page_text(not_enforced()), "findings")
    for words in ("finding      CRITICAL", "because      NetworkPolicy", "verify       kubectl", "remedy       Start"):
        assert words in shown


def test_a_cell_that_was_not_asked_says_why_and_what_rules_say_all_the_same() -> None:
    store = estate(DENY_ALL)
    untested = happened.CellUntested(at=AT, endpoint=POD.id, vantage=OPS.id, reason=Reason.VANTAGE_LOST, why="it went")
    store.apply(untested)
    shown = page_text(store)
    assert "observed     untested  it went" in shown
    assert "isolated by NetworkPolicy payments/default-deny, no rule allows it" in shown


def test_digits_lead_to_every_section() -> None:
    lines = cell_page(view_of(not_enforced()))
    assert [section_line(lines, name) for name in SECTIONS] == sorted({section_line(lines, name) for name in SECTIONS})
