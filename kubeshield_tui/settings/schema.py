"""What the user chose for one run, checked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import VantageSpec, Zone

DEFAULT_POD_IMAGE = "python:3-slim"
DEFAULT_POD_NAMESPACE = "default"
DEFAULT_RATE = 2_000
"""New probes a second over all vantages: a busy grid stays below what a small firewall notices."""


class Format(StrEnum):
    """Formats of an audit's output."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"


class Limits(Record, frozen=True):
    """How much may be under way at once."""

    rate: float = DEFAULT_RATE
    """New probes a second, all vantages together."""
    per_vantage: int = 10_000
    per_target: int = 512
    """Probes to one host at once, all vantages together."""
    total: int = 20_000


class Settings(Record, frozen=True):
    """One run."""

    kubeconfig: Path | None = None
    contexts: tuple[str, ...] = ()
    """Empty: the kubeconfig's current context."""
    ssh_config: Path | None = None
    vantages: tuple[VantageSpec, ...] = ()
    zones: tuple[tuple[str, Zone], ...] = ()
    """(vantage spec, zone) as given with --zone."""
    cni: tuple[tuple[str, str, str], ...] = ()
    """(context, knob, value) as given with --cni: what the user says of a cluster's enforcement of policies; no context
    means every cluster."""
    targets: Path | None = None
    expect: Path | None = None
    """The user's expectations, laid over the baseline."""
    catalogue: Path | None = None
    """Rows that are laid over the built-in catalogue."""
    discovery: bool = True
    consent: bool = False
    """`--yes`: the objects that were shown may be created."""
    pod_image: str = DEFAULT_POD_IMAGE
    pod_namespace: str = DEFAULT_POD_NAMESPACE
    """Where pods for nodes (`node:NODE`, --per-node) are made. Not the context's namespace: a vantage's id must not
    depend on who asks."""
    read_firewalls: bool = False
    """Read the rules of all hosts that vantages stand on when the run begins."""
    firewall_pods: bool = False
    """Also of nodes that SSH does not lead to, by a pod with CAP_NET_ADMIN in the node's network."""
    per_namespace: bool = False
    """One own pod in every namespace that has pods."""
    per_node: bool = False
    """One own pod on every schedulable node."""
    pod_settle: float = 3.0
    """Seconds that an own pod is given once it runs: its policies are programmed a moment later, and probes before that
    would see too much open."""
    self_test: bool = False
    """An audit shows in each cluster, with pods of our own, whether it enforces policies."""
    timing: Timing = Timing()
    limits: Limits = Limits()
    fail_on: Severity = Severity.MEDIUM
    format: Format = Format.TEXT
    output: Path | None = None
    record: Path | None = None
    title: str = ""
    simulated: str = ""
    """What is simulated, for the training range; empty on a real estate."""
    time_limit: float = 600.0
    """Seconds after which an audit stops waiting and says what is missing."""

    @property
    def is_open_ended(self) -> bool:
        """Whether a flag stands for vantages that only the cluster can name."""
        return self.per_namespace or self.per_node

    def zone_of(self, spec: VantageSpec) -> Zone:
        """The zone that was stated for a vantage, or its kind's default."""
        return dict(self.zones).get(spec.text, spec.default_zone)
