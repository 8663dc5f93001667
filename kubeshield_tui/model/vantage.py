"""FROM WHERE it is asked: specs as the user writes them, zones, health."""

from __future__ import annotations

import re
from enum import StrEnum

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.ids import VantageId, vantage_id
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable


class VantageKind(StrEnum):
    """What a vantage runs on."""

    LOCAL = "local"
    SSH = "ssh"
    POD = "pod"
    NODE = "node"
    SCRIPT = "script"
    NMAP = "nmap"


class Zone(StrEnum):
    """Which side of the walls a vantage stands on: stated, never guessed."""

    OUTSIDE = "outside"
    ADMIN = "admin"
    POD = "pod"
    NODE = "node"


class VantageStatus(StrEnum):
    """Health of a vantage."""

    WAITING = "waiting"
    OPENING = "opening"
    READY = "ready"
    LOST = "lost"
    FAILED = "failed"
    CLOSED = "closed"


_DEFAULT_ZONES = {
    VantageKind.LOCAL: Zone.ADMIN,
    VantageKind.SSH: Zone.ADMIN,
    VantageKind.POD: Zone.POD,
    VantageKind.NODE: Zone.NODE,
    VantageKind.SCRIPT: Zone.OUTSIDE,
    VantageKind.NMAP: Zone.OUTSIDE,
}
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL})*"
_POD = re.compile(rf"(?P<namespace>{_LABEL})(/(?P<pod>{_NAME}))?(@(?P<node>{_NAME}))?")
# No leading dash: it would be read as an option by whatever program meets it later.
_SSH = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][\w.\-]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][\w.\-]*)(?::(?P<port>\d{1,5}))?"
    r"(?P<direct>\?via=direct)?"
)
SPEC_FORMS = (
    "local, ssh:HOST, ssh:USER@HOST:PORT, ssh:HOST?via=direct, pod:NAMESPACE, pod:NAMESPACE/POD, pod:NAMESPACE@NODE, "
    "node:NODE, script:FILE, nmap:FILE"
)


class VantageSpec(Record, frozen=True):
    """A vantage as the user wrote it, taken apart."""

    text: str
    kind: VantageKind
    host: str = ""
    """SSH: alias of ssh_config or host name. Nodes: the same, once they were found to be reached over SSH."""
    user: str = ""
    port: int = 0
    """SSH: 0 where ssh_config or the default decides."""
    namespace: str = ""
    pod: str = ""
    """An existing pod; empty for a pod of our own."""
    node: str = ""
    cluster: str = ""
    """Context of the cluster that a pod or node is in; empty for the first one."""
    direct: bool = False
    """SSH: by forwarding alone, without running anything there."""
    file: str = ""
    """Script and nmap: the file with the results."""

    @property
    def id(self) -> VantageId:
        """The id that cells, events and reports use."""
        return vantage_id(self.text, self.cluster)

    @property
    def creates_pod(self) -> bool:
        """Whether opening it creates an object in the cluster, which needs consent."""
        if self.kind is VantageKind.NODE:
            return not self.host
        return self.kind is VantageKind.POD and not self.pod

    @property
    def default_zone(self) -> Zone:
        """The zone unless the user states another."""
        return _DEFAULT_ZONES[self.kind]


def parse_vantage(text: str, cluster: str = "") -> VantageSpec:
    """Read a vantage spec (`local`, `ssh:jump`, `pod:shop/web-0`).

    Raises SettingsError naming the spec and the forms that exist.
    """
    kind, _, rest = text.partition(":")
    shown = printable(text, 80)
    if text == "local":
        return VantageSpec(text=text, kind=VantageKind.LOCAL)
    if kind == "ssh" and (found := _SSH.fullmatch(rest)):
        port = int(found["port"] or 0)
        if port < 65536 and not (found["port"] and port == 0):
            host = found["host"].strip("[]")
            user, direct = found["user"] or "", bool(found["direct"])
            return VantageSpec(text=text, kind=VantageKind.SSH, host=host, user=user, port=port, direct=direct)
    if kind == "pod" and (found := _POD.fullmatch(rest)) and not (found["pod"] and found["node"]):
        return VantageSpec(
            text=text,
            kind=VantageKind.POD,
            namespace=found["namespace"],
            pod=found["pod"] or "",
            node=found["node"] or "",
            cluster=cluster,
        )
    if kind == "node" and re.fullmatch(_NAME, rest):
        return VantageSpec(text=text, kind=VantageKind.NODE, node=rest, cluster=cluster)
    if kind in {"script", "nmap"} and rest and printable(rest, len(rest)) == rest:
        return VantageSpec(text=text, kind=VantageKind(kind), file=rest)
    raise SettingsError(f"vantage {shown!r} is not a vantage spec", f"Use one of: {SPEC_FORMS}")


DIRECT_RUNNER = "ssh direct-tcpip"
"""What `VantageFacts.runner` begins with where SSH forwards and nothing runs there."""


class VantageFacts(Record, frozen=True):
    """What a vantage said of itself when it was opened. All text printable."""

    runner: str
    """What asks there, and why nothing better: `python 3.11`, `nmap 7.93: no python3 on jump`, ..."""
    cannot_see: tuple[str, ...] = ()
    """Plain statements of what this runner can't tell apart."""
    host_name: str = ""
    user: str = ""
    addresses: tuple[str, ...] = ()
    in_flight: int = 0
    """Probes it can hold open at once (its file descriptors decide)."""
    node: str = ""
    """Pods: the node it runs on."""
    labels: tuple[tuple[str, str], ...] = ()
    """Pods: the labels that NetworkPolicies see."""
    created: str = ""
    """Object that was made for it (`Pod shop/kubeshield-...`), empty where nothing was."""


_RECORDED = frozenset({VantageKind.SCRIPT, VantageKind.NMAP})


class Vantage(Record, frozen=True):
    """A vantage in the grid."""

    id: VantageId
    spec: VantageSpec
    zone: Zone
    cluster: str = ""
    """Context of the cluster whose pod network it stands in, empty for others."""
    status: VantageStatus = VantageStatus.WAITING
    detail: str = ""
    """One sentence for people: why it failed, what it runs on."""
    facts: VantageFacts | None = None

    @property
    def node(self) -> str:
        """The node it stands on: as its pod says, or as its spec does. Empty where there is none or it is not known."""
        return (self.facts.node if self.facts else "") or self.spec.node

    @property
    def is_recorded(self) -> bool:
        """Whether its answers come from a file: asking again gives the same."""
        return self.spec.kind in _RECORDED

    @property
    def forwards_only(self) -> bool:
        """Whether it asks by SSH forwarding, where a closed port and a firewall's reject look alike."""
        return self.facts is not None and self.facts.runner.startswith(DIRECT_RUNNER)
