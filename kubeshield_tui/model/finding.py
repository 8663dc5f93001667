"""What someone should act on."""

from __future__ import annotations

from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import EndpointId, FindingId, VantageId
from kubeshield_tui.model.record import Record


class Finding(Record, frozen=True):
    """One thing that is not as it must be. `because`, `verify` and `remedy` are never empty."""

    id: FindingId
    code: str
    """A verdict or disagreement (exposed, broken, not-enforced, ...), the id of a known hole, or what an object of the
    API gives away (external-ips, public-address, ...)."""
    severity: Severity
    title: str
    because: tuple[str, ...]
    verify: tuple[str, ...]
    """Commands or steps that let a person see it without this program."""
    remedy: str
    endpoint: EndpointId = EndpointId("")
    """Empty where it is about a cluster or an object rather than about a cell."""
    vantage: VantageId = VantageId("")
    """The vantage it was seen from; of a known hole the worst one that reaches it. Empty with `endpoint`."""
    cluster: str = ""
    namespace: str = ""
    object: str = ""
    """`Kind/name` in the API, empty where it is about none or about several."""
    component: str = ""
    """What it is about: `kube-apiserver`, `kubelet`, ..."""
    reached_from: tuple[VantageId, ...] = ()
    """Of a known hole: every vantage that reaches the component now, the worst zone first."""
    cause: str = ""
    """What one change would put right, in a few words for people (`policy payments/deny-all`, `node n2`): findings of
    one code and cluster that name the same are one cause. Empty leaves it to who groups them."""
