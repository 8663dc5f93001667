"""Everything that happens, as one tagged union.

A session is the fold of its events and its record is their list: screens, reports, replay and tests see nothing else.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kubeshield_tui.model.cluster import Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.evidence import SelfTest, Source, Witness
from kubeshield_tui.model.expectation import DeclaredLine
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId, VantageId
from kubeshield_tui.model.observation import Observation, Reason
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage, VantageFacts, VantageStatus
from kubeshield_tui.model.verdict import Judgement


class Happening(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True, forbid_unknown_fields=True):
    """Base of all events."""

    at: float
    """Seconds since the epoch, our clock."""


class SessionStarted(Happening, frozen=True):
    """A run began. `title` names what is looked at."""

    title: str
    version: str
    simulated: str = ""
    """What is simulated, in one sentence; empty on a real estate."""


class ClusterRead(Happening, frozen=True):
    """A cluster answered and was read."""

    inventory: Inventory


class ObjectName(Record, frozen=True):
    """An object of an inventory, named."""

    kind: str
    """Field of the inventory: `pods`, `services`, ..."""
    name: str
    namespace: str = ""
    """For what is `skipped`: why it was."""


class ClusterChanged(Happening, frozen=True):
    """Objects of a cluster that was read were made, changed or deleted."""

    inventory: Inventory
    """Those that are new or changed, and the cluster itself as it is now."""
    gone: tuple[ObjectName, ...] = ()


class WatchStatus(StrEnum):
    """How closely a kind of object is followed."""

    FOLLOWED = "followed"
    SLOW = "slow"
    """Changes come late."""
    FAILED = "failed"
    """What is known may be out of date."""


class WatchChanged(Happening, frozen=True):
    """A kind of object is followed, slowly followed, or not followed any more."""

    cluster: str
    what: str
    """`pods`, `networkpolicies.networking.k8s.io`, ..."""
    status: WatchStatus
    detail: str = ""


class ClusterFailed(Happening, frozen=True):
    """A cluster could not be asked: the others go on."""

    context: str
    message: str
    hint: str = ""


class ReadDenied(Happening, frozen=True):
    """Something of a cluster may not be read."""

    denied: Denied


class EndpointFound(Happening, frozen=True):
    """An endpoint is in the grid, or is another than it was."""

    endpoint: Endpoint


class EndpointGone(Happening, frozen=True):
    """An endpoint is no longer there."""

    endpoint: EndpointId


class VantageAdded(Happening, frozen=True):
    """A vantage is in the grid."""

    vantage: Vantage


class VantageChanged(Happening, frozen=True):
    """A vantage's health changed."""

    vantage: VantageId
    status: VantageStatus
    detail: str = ""
    facts: VantageFacts | None = None


class CellAsked(Happening, frozen=True):
    """A probe was sent."""

    endpoint: EndpointId
    vantage: VantageId

    @property
    def key(self) -> CellKey:
        """The cell asked."""
        return CellKey(self.endpoint, self.vantage)


class CellUntested(Happening, frozen=True):
    """A cell is not asked, and why."""

    endpoint: EndpointId
    vantage: VantageId
    reason: Reason
    why: str

    @property
    def key(self) -> CellKey:
        """The cell left out."""
        return CellKey(self.endpoint, self.vantage)


class CellObserved(Happening, frozen=True):
    """An answer came in."""

    observation: Observation


class CellJudged(Happening, frozen=True):
    """A cell's verdict, proof or layers changed."""

    judgement: Judgement


class FindingRaised(Happening, frozen=True):
    """Something is not as it must be."""

    finding: Finding


class FindingCleared(Happening, frozen=True):
    """It is as it must be again."""

    finding: FindingId


class ExpectationsReviewed(Happening, frozen=True):
    """What each line of the expectations comes to by now."""

    lines: tuple[DeclaredLine, ...]


class SourceCollected(Happening, frozen=True):
    """Something that decides on packets at a host was read, or could not be."""

    source: Source


class Witnessed(Happening, frozen=True):
    """A probe was watched as it passed the hosts on its way."""

    witness: Witness


class SelfTested(Happening, frozen=True):
    """A deny-all policy was tried on two pods of our own: does the cluster enforce policies?"""

    test: SelfTest


class OpinionHeard(Happening, frozen=True):
    """nmap was asked of a cell."""

    opinion: SecondOpinion


class Inspected(Happening, frozen=True):
    """An endpoint's whole answer was looked at."""

    inspection: Inspection


class ObjectCreated(Happening, frozen=True):
    """We made an object in a cluster, after consent."""

    cluster: str
    object: str
    """`Pod shop/kubeshield-probe`, `Lease shop/kubeshield-...`."""


class ObjectRemoved(Happening, frozen=True):
    """An object of ours is gone."""

    cluster: str
    object: str


class ObjectLeft(Happening, frozen=True):
    """An object of ours could not be removed: it is said, with why."""

    cluster: str
    object: str
    why: str


class PolicyApplied(Happening, frozen=True):
    """We made a NetworkPolicy after an explicit yes. It stays until it is taken back, the session's end included."""

    cluster: str
    namespace: str
    name: str
    uid: str
    text: str
    """The manifest."""
    cells: tuple[CellKey, ...] = ()
    """Those that it is to close."""
    concerned: tuple[CellKey, ...] = ()
    """Those on which it bears."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Cluster, namespace and name."""
        return self.cluster, self.namespace, self.name

    @property
    def shown(self) -> str:
        """`NetworkPolicy shop/kubeshield-egress`."""
        return f"NetworkPolicy {self.namespace}/{self.name}"


class PolicyTakenBack(Happening, frozen=True):
    """A NetworkPolicy that we made is gone."""

    cluster: str
    namespace: str
    name: str
    by_others: bool = False
    """It was gone, or another stood in its place, when we came to remove it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Cluster, namespace and name."""
        return self.cluster, self.namespace, self.name


class Progress(Happening, frozen=True):
    """What the session is doing now, in words: `reading cluster prod`, `first sweep`, `watching`."""

    phase: str


class Paused(Happening, frozen=True):
    """Asking was paused or goes on."""

    paused: bool


class SessionEnded(Happening, frozen=True):
    """The run is over. `incomplete` names what was asked for and could not be measured."""

    incomplete: tuple[str, ...] = ()


Event = (
    SessionStarted
    | ClusterRead
    | ClusterChanged
    | WatchChanged
    | ClusterFailed
    | ReadDenied
    | EndpointFound
    | EndpointGone
    | VantageAdded
    | VantageChanged
    | CellAsked
    | CellUntested
    | CellObserved
    | CellJudged
    | FindingRaised
    | FindingCleared
    | ExpectationsReviewed
    | SourceCollected
    | Witnessed
    | SelfTested
    | OpinionHeard
    | Inspected
    | ObjectCreated
    | ObjectRemoved
    | ObjectLeft
    | PolicyApplied
    | PolicyTakenBack
    | Progress
    | Paused
    | SessionEnded
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """One event as one line of JSON, without the line feed."""
    return _encoder.encode(event)


def decode_event(line: bytes | str) -> Event:
    """Read one line of a record. Raises msgspec.ValidationError or DecodeError naming the field."""
    return _decoder.decode(line)
