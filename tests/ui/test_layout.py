"""The grid's first column: names give way, addresses and ports stay readable, and words stand beside glyphs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kubeshield_tui.model import event as happened
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.widgets.layout import Detail, fit_label, lay_out
from tests.unit.estate import endpoint, vantage

LONG = endpoint("cloud-controller-manager-webhook control-plane-1", host="10.0.0.11", port=10260)


def store_of(*specs: str) -> Store:
    store = Store()
    for target in (LONG, endpoint("kube-apiserver", port=6443)):
        store.apply(happened.EndpointFound(at=1, endpoint=target))
    for place in [vantage(spec) for spec in specs]:
        store.apply(happened.VantageAdded(at=1, vantage=place))
    return store


@pytest.mark.parametrize(
    ("label", "width", "shown"),
    [
        ("etcd n1 10.0.0.11:2379", 30, "etcd n1 10.0.0.11:2379        "),
        ("kube-scheduler n1 10.0.0.11:10259", 28, "kube-s…er n1 10.0.0.11:10259"),
        ("kube-scheduler n1 10.0.0.11:10259", 19, "k…1 10.0.0.11:10259"),
        ("kube-scheduler n1 10.0.0.11:10259", 14, "10.0.0.…:10259"),
        ("db [2001:db8:0:1234:5678:9abc:def0:1]:5432", 24, "[2001:db8:0:…ef0:1]:5432"),
    ],
)
def test_a_label_that_is_too_long_loses_the_middle_of_its_name(label: str, width: int, shown: str) -> None:
    assert fit_label(label, width).rstrip() == shown.rstrip()
    assert cell_len(fit_label(label, width)) == width


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60), st.integers(1, 65535), st.integers(16, 60))
def test_no_width_cuts_the_port(name: str, port: int, width: int) -> None:
    shown = fit_label(f"{name} 192.0.2.117:{port}", width)
    assert cell_len(shown) == width
    assert shown.rstrip().endswith(f":{port}")


def test_names_give_way_to_the_words_of_verdicts() -> None:
    five = ("ssh:jump", "local", "pod:shop", "pod:payments", "pod:shop/web-6d4f9")
    grid = lay_out(store_of(*five), 119, (), "")
    assert grid.detail is Detail.WORD
    assert grid.width <= 119
    address = cell_len("10.0.0.11:10260")
    assert grid.first > address
    narrow = lay_out(store_of(*five), 79, (), "")
    assert narrow.detail is Detail.GLYPH
    assert narrow.width <= 79


def test_words_do_not_take_the_last_of_a_name() -> None:
    places = [f"pod:space-{number}" for number in range(7)]
    grid = lay_out(store_of(*places), 119, (), "")
    assert grid.detail is Detail.GLYPH  # words would leave the address and nothing else
    assert grid.first > 40
