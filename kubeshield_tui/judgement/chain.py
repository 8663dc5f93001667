"""The layers on one visitor's way as one chain: what they predict, who decides, how deep they stand, what if. Pure.

Each layer says what it would do if it stood alone. Layers of one failure domain fail together and count once: the two
directions of one policy engine, or one host met twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from kubeshield_tui.judgement.comparison import Expected, Seen
from kubeshield_tui.model.prediction import Predicted, Prediction
from kubeshield_tui.model.verdict import Layer, Verdict


class LayerName(StrEnum):
    """Kinds of layers, in the order of a visitor's way."""

    VANTAGE_EGRESS = "vantage-egress"
    EGRESS_POLICY = "egress-policy"
    SOURCE_FIREWALL = "source-firewall"
    CLOUD_SOURCE = "cloud-source"
    CLOUD_TARGET = "cloud-target"
    NODE_FIREWALL = "node-firewall"
    INGRESS_POLICY = "ingress-policy"
    AUTHENTICATION = "authentication"


ORDER = {name.value: place for place, name in enumerate(LayerName)}
POLICIES = frozenset({LayerName.EGRESS_POLICY.value, LayerName.INGRESS_POLICY.value})
FIREWALLS = frozenset({LayerName.VANTAGE_EGRESS.value, LayerName.SOURCE_FIREWALL.value, LayerName.NODE_FIREWALL.value})
CLOUD = frozenset({LayerName.CLOUD_SOURCE.value, LayerName.CLOUD_TARGET.value})
AUTHENTICATION = LayerName.AUTHENTICATION.value
UNIDENTIFIED = "observed, not identified"
"""What blocks where a block is proven and no known layer explains it."""
PASSED = frozenset({Verdict.EXPOSED, Verdict.REACHABLE})
UNMEASURED = frozenset({Verdict.LOST, Verdict.UNTESTED})


@dataclass(frozen=True)
class Chain:
    """All network layers that apply on one visitor's way, in its order, and what else bears on the comparison.

    Shared by all cells that are alike: what follows from it is worked out once.
    """

    layers: tuple[Layer, ...] = ()
    listener: bool | None = None
    """Whether something should listen there."""
    listener_text: str = ""
    front: bool = False
    """A load balancer, node port or proxy answers in the target's place."""
    deny_style: str = ""
    """How the policy engine refuses: drop, reject or icmp; empty where it is not known."""
    changed_at: float = 0.0
    """When the newest policy that bears on it came to be as it is, seconds since the epoch; 0 where all are old."""
    rejecters: frozenset[str] = frozenset()
    """Addresses that an ICMP error of the first layer that denies may come from; empty where they are not known."""
    notes: tuple[str, ...] = ()
    """What was taken for true of the visitor."""
    weighed: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What its cells amounted to so far, by all else that bears on that: for whoever weighs them."""
    _wholes: dict[int, Whole] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def prediction(self) -> Prediction:
        """What the layers come to."""
        return predict(self.layers)

    @cached_property
    def denying(self) -> Layer | None:
        """The first layer that denies."""
        return first_denying(self.layers)

    @cached_property
    def is_complete(self) -> bool:
        """Whether every layer's answer is known."""
        return all(layer.verdict is not Predicted.UNKNOWN for layer in self.layers)

    @cached_property
    def is_assumed(self) -> bool:
        """Whether what it makes one expect rests on something that was taken for true."""
        deciding = (self.denying,) if self.denying is not None else self.layers
        return bool(self.notes) or any(layer.assumptions for layer in deciding)

    def expected(self, seen: Seen) -> Expected:
        """Say what the first layer that decides makes of the visitor, beside what was seen."""
        if all(layer.verdict is Predicted.UNKNOWN and layer.missing for layer in self.layers):
            return Expected.NONE  # also where there is no layer at all
        denying = self.denying
        if denying is None:
            return Expected.ALLOW if self.is_complete else Expected.UNKNOWN
        if denying.layer in POLICIES:
            return Expected.POLICY_DENY
        match denying.how:
            case "drop":
                return Expected.DROP
            case "reject":
                return Expected.REJECT_RESET if denying.answer == "tcp-reset" else Expected.REJECT_ICMP
            case "late":
                return Expected.LATE_REJECT
            case "no-route":
                return Expected.NO_ROUTE
        # Refused in one of several ways: only that it got through can contradict it.
        return Expected.DROP if seen in {Seen.OPEN, Seen.RESET} else Expected.UNKNOWN

    def ended_by(self, authentication: Layer) -> Whole:
        """Return the chain with authentication as its last layer."""
        whole = self._wholes.get(id(authentication))
        if whole is None:
            layers = (*self.layers, authentication)
            whole = self._wholes[id(authentication)] = Whole(layers, next_decider(layers))
        return whole


class Whole(NamedTuple):
    """All layers of a cell, and what follows from them."""

    layers: tuple[Layer, ...]
    next_decider: str


EMPTY = Chain()


class Depth(NamedTuple):
    """How many failure domains hold; None where nothing was measured."""

    least: int | None
    most: int | None


class Imagined(NamedTuple):
    """What would be with something left out."""

    prediction: Prediction
    depth: Depth
    opens: bool | None
    """Whether the visitor would get through who does not now; None where that is not known."""


def in_order(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Sort layers into the order of a visitor's way; those of one kind stay as they come."""
    return tuple(sorted(layers, key=lambda layer: ORDER.get(layer.layer, len(ORDER))))


def first_denying(layers: Sequence[Layer]) -> Layer | None:
    """Return the first network layer that denies."""
    return next((layer for layer in layers if layer.verdict is Predicted.DENY and layer.layer != AUTHENTICATION), None)


def predict(layers: Sequence[Layer]) -> Prediction:
    """Say what the network layers come to: deny if any denies, allow if all allow, else unknown."""
    network = [layer for layer in layers if layer.layer != AUTHENTICATION]
    if not network:
        return Prediction()
    denying = first_denying(network)
    if denying is not None:
        before = [layer.layer for layer in network[: network.index(denying)] if layer.verdict is Predicted.UNKNOWN]
        doubt = f"; before it {' and '.join(before)} is not known" if before else ""
        because = f"{denying.layer} denies: {denying.decider}{doubt}"
        return Prediction(verdict=Predicted.DENY, because=because, layer=denying.layer, decider=denying.decider)
    unknown = [layer for layer in network if layer.verdict is Predicted.UNKNOWN]
    if unknown:
        told = "; ".join(dict.fromkeys(f"{layer.layer}: {layer.missing or layer.decider}" for layer in unknown))
        return Prediction(verdict=Predicted.UNKNOWN, because=f"not known: {told}")
    return Prediction(verdict=Predicted.ALLOW, because=f"all layers allow: {', '.join(each.layer for each in network)}")


def next_decider(layers: Sequence[Layer]) -> str:
    """Say what would decide if the first layer that denies were not there; empty where none denies."""
    first = first_denying(layers)
    if first is None:
        return ""
    rest = [layer for layer in layers if layer is not first]
    then = first_denying(rest)
    if then is not None:
        return f"{then.layer}: {then.decider}"
    authentication = next((layer for layer in rest if layer.layer == AUTHENTICATION), None)
    unknown = [layer.layer for layer in rest if layer.verdict is Predicted.UNKNOWN and layer is not authentication]
    if unknown:
        return f"not known: {', '.join(dict.fromkeys(unknown))}"
    if authentication is not None and authentication.verdict is Predicted.DENY:
        return f"{AUTHENTICATION}: {authentication.decider}"
    return "nothing: it would be open"


def depth_of(layers: Sequence[Layer], verdict: Verdict) -> Depth:
    """Count failure domains that deny; the most adds those that are not known.

    In an open cell the answer refutes every network layer. A proven block that no known network layer explains is one
    domain of its own, observed and not identified; where authentication is counted already it only raises the most.
    """
    if verdict in UNMEASURED:
        return Depth(None, None)
    passed = verdict in PASSED
    said = _by_domain(layer for layer in layers if layer.layer == AUTHENTICATION) if passed else _by_domain(layers)
    denying = list(said.values()).count(Predicted.DENY)
    unknown = list(said.values()).count(Predicted.UNKNOWN)
    if passed or _explained(layers):
        return Depth(denying, denying + unknown)
    # Whatever kept silent may be a layer or not; of a proven block it is known that something is one.
    return Depth(max(denying, 1) if verdict is Verdict.BLOCKED else denying, denying + unknown + 1)


def holding(layers: Sequence[Layer], verdict: Verdict) -> tuple[str, ...]:
    """Name the failure domains that hold, as many as `depth_of` counts at least, in the order of the way."""
    if verdict in UNMEASURED:
        return ()
    if verdict is Verdict.BLOCKED and not _explained(layers):
        return (UNIDENTIFIED,)
    passed = verdict in PASSED
    said = _by_domain(layer for layer in layers if layer.layer == AUTHENTICATION or not passed)
    return tuple(domain for domain, each in said.items() if each is Predicted.DENY)


def _by_domain(layers: Iterable[Layer]) -> dict[str, Predicted]:
    """What each failure domain comes to: one of its layers that denies is enough."""
    said: dict[str, Predicted] = {}
    for layer in layers:
        domain, now = layer.domain or layer.layer, counted(layer)
        before = said.get(domain, Predicted.ALLOW)
        said[domain] = before if before is Predicted.DENY or now is Predicted.ALLOW else now
    return said


def counted(layer: Layer) -> Predicted:
    """Return what a layer counts for.

    A denial by policies that nobody is known to enforce is not known to hold; one that is there because nothing is
    behind it is none.
    """
    if layer.verdict is not Predicted.DENY or (layer.enforced and layer.defends):
        return layer.verdict
    return Predicted.UNKNOWN if layer.enforced is None else Predicted.ALLOW


Reconsider = Callable[[Layer, frozenset[str]], Layer]
"""What a layer says with some of its policies or rules left out."""


def without(
    layers: Iterable[Layer], left_out: frozenset[str], reconsider: Reconsider | None = None
) -> tuple[Layer, ...]:
    """Return the layers with kinds of layers, domains, hosts, policies or rules left out, by their names.

    Without `reconsider` a layer that policies or rules bore on which are left out is not known any more.
    """
    kept = []
    for layer in layers:
        if layer.layer in left_out or layer.domain in left_out:
            continue
        named = left_out.intersection(layer.refs)
        if not named:
            kept.append(layer)
        elif not any(name.startswith("host:") for name in named):
            kept.append((reconsider or _doubted)(layer, named))
    return tuple(kept)


def imagine(
    layers: Sequence[Layer], verdict: Verdict, left_out: frozenset[str], reconsider: Reconsider | None = None
) -> Imagined:
    """Say what a cell with this verdict would be with something left out."""
    rest = without(layers, left_out, reconsider)
    if _explained(layers):
        return _imagined(rest, verdict, True, False)
    # Something blocks that is not known: it may be what was left out, if that was not known to allow.
    kept = set(map(id, rest))
    gone = [layer for layer in layers if id(layer) not in kept and layer.layer != AUTHENTICATION]
    return _imagined(rest, verdict, False, any(layer.verdict is not Predicted.ALLOW for layer in gone))


@lru_cache(4096)
def _imagined(rest: tuple[Layer, ...], verdict: Verdict, explained: bool, suspected: bool) -> Imagined:
    """What is left of many chains is the same. `explained`: a known layer stopped the visitor so far; `suspected`: or
    what was left out may have done.
    """
    if not any(layer.layer != AUTHENTICATION for layer in rest):
        prediction = Prediction(verdict=Predicted.ALLOW, because="no layer is left")
    else:
        prediction = predict(rest)
    opens: bool | None
    if verdict in PASSED or verdict is Verdict.DEAD:
        opens = False  # nothing new gets through: it does already, or nothing listens there
    elif verdict in UNMEASURED:
        opens = None
    elif not explained:
        opens = None if suspected else False
    else:
        opens = False if _explained(rest) else True if prediction.verdict is Predicted.ALLOW else None
    return Imagined(prediction, _imagined_depth(rest, verdict, explained=explained), opens)


def _doubted(layer: Layer, named: Iterable[str]) -> Layer:
    missing = f"what decides without {', '.join(sorted(named))} was not worked out"
    return replace(layer, verdict=Predicted.UNKNOWN, decider=missing, missing=missing, how="", answer="")


def _explained(layers: Iterable[Layer]) -> bool:
    """Whether a known layer on the way stops the visitor."""
    return any(counted(layer) is Predicted.DENY and layer.layer != AUTHENTICATION for layer in layers)


def _imagined_depth(rest: Sequence[Layer], verdict: Verdict, *, explained: bool) -> Depth:
    if verdict in PASSED or verdict in UNMEASURED or not explained:
        return depth_of(rest, verdict)
    said = list(_by_domain(rest).values())
    denying = said.count(Predicted.DENY)
    return Depth(denying, denying + said.count(Predicted.UNKNOWN))
