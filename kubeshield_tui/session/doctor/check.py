"""One thing that was looked at before a run, how it is, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.record import Record

SCHEMA = "kubeshield/doctor/v1"


class Health(StrEnum):
    """How a thing is."""

    OK = "ok"
    LIMITED = "limited"
    """It works, with less."""
    BROKEN = "broken"
    """It is needed and does not work."""
    UNKNOWN = "unknown"
    """It could not be found out."""
    ABSENT = "absent"
    """It is not there and was not asked for."""


class Check(Record, frozen=True):
    """One thing."""

    area: str
    """`machine`, `terminal`, `tools`, `kubeconfig`, `ssh`, `cluster`, `rights`, `vantage`."""
    said: str
    """What was found, in a sentence."""
    subject: str = ""
    """Which one of its area: a context, a feature, a vantage."""
    health: Health = Health.OK
    hint: str = ""
    """What to do about it."""


class Diagnosis(Record, frozen=True):
    """All of it, in the order in which things depend on each other."""

    version: str
    """Of KubeShield."""
    ok: bool
    """Nothing that is needed is broken."""
    checks: tuple[Check, ...]
    schema: str = SCHEMA
