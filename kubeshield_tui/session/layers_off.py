"""What can be left out of the model from where the operator stands: kinds of layers, walls, policies and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kubeshield_tui.judgement.chain import AUTHENTICATION, CLOUD, FIREWALLS, POLICIES, UNIDENTIFIED
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Judgement, Layer

POLICY, RULE = "policy:", "rule:"
WALLS_SHOWN = 6


class LeftOut(NamedTuple):
    """One thing that can be left out."""

    names: frozenset[str]
    """As `Chains.imagine` takes them."""
    words: str
    """After `without`."""


KINDS = (
    LeftOut(POLICIES, "policies"),
    LeftOut(FIREWALLS, "node firewalls"),
    LeftOut(CLOUD, "cloud groups"),
    LeftOut(frozenset({AUTHENTICATION}), "authentication"),
)
"""Whole kinds of layers, everywhere."""


def of_cell(judgement: Judgement | None) -> tuple[LeftOut, ...]:
    """What stands in the way of one cell's visitor: each failure domain that denies, each policy and rule in it."""
    if judgement is None:
        return ()
    denying = [layer for layer in judgement.layers if layer.verdict is Predicted.DENY and layer.layer != AUTHENTICATION]
    found = {each.names: each for layer in denying for each in _of_layer(layer)}
    return tuple(found.values())


def of_walls(walls: Mapping[str, int]) -> tuple[LeftOut, ...]:
    """Failure domains that some cells have nothing but, those with the most cells first."""
    most = sorted(walls.items(), key=lambda wall: (-wall[1], wall[0]))
    named = [LeftOut(frozenset({domain}), domain) for domain, _ in most if domain != UNIDENTIFIED]
    return tuple(named[:WALLS_SHOWN])


def together(chosen: Iterable[LeftOut]) -> LeftOut:
    """Leave out several things at once."""
    several = tuple(chosen)
    names = frozenset(name for each in several for name in each.names)
    return LeftOut(names, " and ".join(dict.fromkeys(each.words for each in several)))


def _of_layer(layer: Layer) -> Iterator[LeftOut]:
    if layer.domain:
        yield LeftOut(frozenset({layer.domain}), layer.domain)
    rules = [ref for ref in layer.refs if ref.startswith(RULE)]
    for ref in layer.refs:
        if ref.startswith(POLICY):
            kind, namespace, name = ref.removeprefix(POLICY).rsplit("/", 3)[1:]
            yield LeftOut(frozenset({ref}), f"{kind} {f'{namespace}/' if namespace else ''}{name}")
        elif ref in rules:
            # The decider's text is that of the one rule that decides.
            words = f"{layer.place}: {layer.decider}" if len(rules) == 1 else ref.removeprefix(RULE)
            yield LeftOut(frozenset({ref}), words)
