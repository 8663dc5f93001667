"""What the collected rules say. Evaluators come later; until then every prediction is `unknown`, and said so."""

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
    because: str = "rules are shown, not yet evaluated"
