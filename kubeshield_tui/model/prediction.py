"""What the collected rules say."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.record import Record


class Predicted(StrEnum):
    """Three-valued: what is not known is never counted as allowed."""

    ALLOW = "allow"
    DENY = "deny"
    UNKNOWN = "unknown"


class Prediction(Record, frozen=True):
    """A prediction with its reason in one sentence."""

    verdict: Predicted = Predicted.UNKNOWN
    because: str = "no rules were collected on this way"
    layer: str = ""
    """The first layer that denies; empty where none does."""
    decider: str = ""
    """What decides there: `NetworkPolicy shop/db`, a rule of a firewall."""
