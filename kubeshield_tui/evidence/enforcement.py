"""Who enforces NetworkPolicies in a cluster and how: what its agents tell, what a self-test showed, what the user says.

Later knowledge wins: the user's word over a self-test, a self-test over what an agent's presence suggests. What nothing
tells stays unknown. Sources: the projects' documentation (Cilium: policy language, "CIDR rules do not apply to traffic
where both sides are managed by Cilium"; Calico: Felix configuration; kube-router: rejects with port-unreachable) and
measurements published with the failopen tool (hostNetwork pods on Calico and Cilium).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.model.cluster import Recognition
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.record import Record

CNI, POLICY_ENGINE = "cni", "policy-engine"
DENY_STYLES = ("drop", "reject", "icmp")
"""Silence; a TCP reset; an ICMP error."""
NEVER_ENFORCES = frozenset({"flannel"})
"""Networks that leave policies to somebody else."""


class Enforcement(Record, frozen=True):
    """What is known of a cluster's enforcement. None and empty: not known."""

    engine: str = ""
    enforces: bool | None = None
    deny_style: str = ""
    """How a denied packet is answered: drop, reject or icmp."""
    host_to_pod: bool | None = None
    """A node always reaches the pods that run on it."""
    profile: Profile = Profile()
    evidence: tuple[str, ...] = ()
    """What says so, one sentence a source."""


_ADDRESS_MATCHERS = Profile(ipblock_matches_pods=True)
_ENGINES: Mapping[str, Enforcement] = {
    "calico": Enforcement(
        deny_style="drop", profile=Profile(ipblock_matches_pods=True, hostnetwork_subject=False), host_to_pod=True
    ),
    "cilium": Enforcement(
        deny_style="drop", profile=Profile(ipblock_matches_pods=False, hostnetwork_subject=False), host_to_pod=True
    ),
    "kube-router": Enforcement(deny_style="icmp", profile=_ADDRESS_MATCHERS, host_to_pod=True),
    "kube-network-policies": Enforcement(deny_style="drop", profile=_ADDRESS_MATCHERS, host_to_pod=True),
    "antrea": Enforcement(deny_style="drop"),
    "ovn-kubernetes": Enforcement(deny_style="drop"),
}


def enforcement_of(recognised: Iterable[Recognition]) -> Enforcement:
    """Tell what a cluster's agents say of enforcement."""
    found = tuple(recognised)
    engines = [each for each in found if each.what == POLICY_ENGINE]
    networks = [each for each in found if each.what == CNI]
    if engines:
        # Several on one cluster: what they agree on is known.
        known = [_ENGINES.get(each.name, Enforcement()) for each in engines]
        agreed = known[0] if all(each == known[0] for each in known) else Enforcement()
        return replace(
            agreed,
            engine=", ".join(each.name for each in engines),
            enforces=True,
            evidence=tuple(f"{each.name} enforces policies unless told not to: {each.evidence}" for each in engines),
        )
    silent = [each for each in networks if each.name in NEVER_ENFORCES]
    if silent and len(silent) == len(networks):
        evidence = tuple(f"{each.name} enforces no policies: {each.evidence}" for each in silent)
        return Enforcement(engine="none", enforces=False, evidence=evidence)
    return Enforcement(evidence=("no policy engine was recognised",))


def with_test(enforcement: Enforcement, test: SelfTest) -> Enforcement:
    """Lay a self-test over what was known."""
    if test.enforced is None:
        return replace(enforcement, evidence=(*enforcement.evidence, f"self-test told nothing: {test.detail}"))
    said = f"self-test: {test.before} without a policy, {test.after} under a deny-all"
    if test.lag is not None:
        said += f", {test.lag:.1f} s after it was made"
    return replace(
        enforcement,
        enforces=test.enforced,
        deny_style=test.deny_style or enforcement.deny_style,
        evidence=(*enforcement.evidence, said),
    )


KNOBS = ("enforces", "deny-style", "host-to-pod", *(field.replace("_", "-") for field in Profile.__struct_fields__))
"""What the user may state."""


def read_knobs(text: str) -> tuple[tuple[str, str], ...]:
    """Read `KNOB=VALUE,...` as `stated` takes it. Raises SettingsError naming the knob or the value."""
    said: dict[str, str] = {}
    for part in text.lower().split(","):
        knob, _, value = (each.strip() for each in part.partition("="))
        if knob not in KNOBS:
            raise SettingsError(f"{knob!r} can't be stated", f"Expected KNOB=VALUE, the knob one of {', '.join(KNOBS)}")
        known = DENY_STYLES if knob == "deny-style" else ("yes", "no")
        if value not in {*known, "unknown"}:
            raise SettingsError(f"{knob} can't be {value!r}", f"Expected {', '.join(known)} or unknown")
        if said.setdefault(knob, value) != value:
            raise SettingsError(f"{knob} is both {said[knob]} and {value}", "Say it once")
    return tuple(said.items())


def stated(enforcement: Enforcement, said: Iterable[tuple[str, str]]) -> Enforcement:
    """Lay the user's word over all else; pairs of KNOBS and yes, no, unknown, or a deny style."""
    for knob, value in said:
        name = knob.replace("-", "_")
        meant = {"yes": True, "no": False, "unknown": None}.get(value)
        if name == "deny_style":
            enforcement = replace(enforcement, deny_style="" if value == "unknown" else value)
        elif name in Profile.__struct_fields__:
            enforcement = replace(enforcement, profile=replace(enforcement.profile, **{name: meant}))
        else:
            enforcement = replace(enforcement, **{name: meant})
        enforcement = replace(enforcement, evidence=(*enforcement.evidence, f"you say: {knob} {value}"))
    return enforcement
