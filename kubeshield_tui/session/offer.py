"""What the welcome screen offers and what a run would create: made of local files, nothing is connected to for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubeshield_tui.errors import ConsentMissing
from kubeshield_tui.model.vantage import VantageKind, VantageSpec
from kubeshield_tui.session.expand import resolve_node
from kubeshield_tui.settings.schema import DEFAULT_POD_NAMESPACE, Settings


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """A context of the kubeconfig."""

    name: str
    server: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """All that can be chosen from."""

    contexts: tuple[ContextChoice, ...] = ()
    ssh_hosts: tuple[str, ...] = ()
    vantages: tuple[VantageSpec, ...] = ()
    """Vantages already chosen by flags."""
    problems: tuple[str, ...] = ()
    """Sentences: no kubeconfig, a broken one, ..."""
    files: tuple[str, ...] = field(default=())
    """Files that were read for this."""
    pod_namespace: str = DEFAULT_POD_NAMESPACE
    was_read: bool = False
    """The cluster was asked for namespaces or nodes, as flags want it; else nothing was connected to."""

    def resolve(self, spec: VantageSpec) -> VantageSpec:
        """Decide how a node that was added by hand is reached."""
        return resolve_node(spec, self.ssh_hosts, self.pod_namespace)


@dataclass(frozen=True, slots=True)
class Intent:
    """What a run would do, in sentences: shown before the yes."""

    sends: tuple[str, ...]
    creates: tuple[str, ...]


def intent_of(settings: Settings) -> Intent:
    """Say what a run with these settings sends and creates."""
    contexts = ", ".join(settings.contexts) or "the current context"
    sends = []
    if settings.discovery:
        sends.append(f"read-only list requests to the API of {contexts}")
    timing = settings.timing
    sends.append(
        f"up to {timing.attempts} TCP connects an endpoint and vantage ({timing.timeout:g} s), a TLS handshake and "
        f"at most two safe HTTP requests; UDP ports get one small question; {settings.limits.rate:g}/s at most"
    )
    creates: list[str] = []
    for spec in settings.vantages:
        match spec.kind:
            case VantageKind.LOCAL:
                sends.append("local: probes from this machine")
            case VantageKind.SSH:
                sends.append(f"{spec.text}: one SSH connection, one python3 process there for the time of the run")
            case VantageKind.NODE if spec.host:
                sends.append(
                    f"{spec.text}: over SSH, since ssh_config has a Host {spec.host}; nothing is created: one SSH "
                    "connection, one python3 process there for the time of the run"
                )
            case _ if spec.creates_pod:
                creates.extend(objects_of(spec, settings.pod_image))
            case _:
                sends.append(f"{spec.text}: one exec of python3 in that pod for the time of the run")
        if settings.read_firewalls and spec.host:
            sends.append(
                f"{spec.text}: one shell there that reads rules, routes and listeners, with sudo -n if it must"
            )
        creates.extend(_readers_of(spec, settings))
    return Intent(tuple(sends), tuple(creates))


def objects_of(spec: VantageSpec, image: str) -> tuple[str, ...]:
    """Name the objects that an own-pod vantage creates, as they are shown before consent."""
    cluster = f" in {spec.cluster}" if spec.cluster else ""
    where = f" on node {spec.node}{cluster}" if spec.node else cluster
    pod = f"Pod {spec.namespace}/kubeshield-...{where}"
    if spec.kind is VantageKind.NODE:
        pod = f"{pod}: hostNetwork, sees what the node sees ({image}; restricted otherwise: no privilege, no mounts, "
        pod += "no token; never Ready, ends by itself)"
    else:
        pod = f"{pod} ({image}; restricted, no token, never Ready, ends by itself)"
    return (f"Lease {spec.namespace}/kubeshield-...{cluster} (owner of the pod; goes with it)", pod)


def reader_objects_of(spec: VantageSpec, image: str) -> tuple[str, ...]:
    """Name the objects that reading a node's rules without SSH creates, as they are shown before consent."""
    from kubeshield_tui.vantages.pod_objects import READER_CAPABILITIES, reader_mounts

    cluster = f" in {spec.cluster}" if spec.cluster else ""
    mounts = " ".join(reader_mounts("amd64"))
    pod = (
        f"Pod {spec.namespace}/kubeshield-... on node {spec.node}{cluster}: root in the node's network (hostNetwork) "
        f"with {' and '.join(READER_CAPABILITIES)} alone, to read the node's rules with the node's tools ({image}; not "
        f"privileged, no host PID, no token; of the node it mounts {mounts}, read-only; gone when they are read)"
    )
    return (f"Lease {spec.namespace}/kubeshield-...{cluster} (owner of the pod; goes with it)", pod)


def _readers_of(spec: VantageSpec, settings: Settings) -> tuple[str, ...]:
    wanted = settings.firewall_pods and spec.kind is VantageKind.NODE and not spec.host
    return reader_objects_of(spec, settings.pod_image) if wanted else ()


def require_consent(settings: Settings, contexts: Sequence[str] = ()) -> None:
    """Let nothing be created without a yes. Raises ConsentMissing with the exact list.

    `contexts`: those of the run; objects are created in the first one unless their line names another.
    """
    asked_for = [spec for spec in settings.vantages if spec.creates_pod]
    tests = _tests_in(contexts, settings.pod_image) if settings.self_test else []
    if not (asked_for or tests) or settings.consent:
        return
    image = settings.pod_image
    lines = [line for spec in asked_for for line in (*objects_of(spec, image), *_readers_of(spec, settings))]
    objects = "\n".join(f"  {line}" for line in lines)
    hint = "Say --yes if they may be"
    objects = "\n".join(part for part in (objects, *tests) if part)
    nodes = [spec.node for spec in asked_for if spec.kind is VantageKind.NODE]
    if nodes:
        hint += f"; a Host {nodes[0]} in ssh_config would need no pod"
    where = f" in {contexts[0]}" if contexts else ""
    raise ConsentMissing(f"these objects would be created{where}:\n{objects}\n", hint)


def _tests_in(contexts: Sequence[str], image: str) -> list[str]:
    from kubeshield_tui.session.selftest import objects_of_self_test

    objects = objects_of_self_test(image)
    return [f"  {line}{f' in {name}' if name != contexts[0] else ''}" for name in contexts for line in objects]


def make_offer(settings: Settings, told: tuple[str, ...] = (), *, was_read: bool = False) -> Offer:
    """Read the kubeconfig's contexts and ssh_config's hosts; what can't be read becomes a sentence.

    `told`: sentences on what the flags came to.
    """
    from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
    from kubeshield_tui.errors import SettingsError
    from kubeshield_tui.settings.ssh_hosts import ssh_hosts

    problems: list[str] = [*told]
    contexts: tuple[ContextChoice, ...] = ()
    files: Sequence[Path] = ()
    try:
        kubeconfig = read_kubeconfig(settings.kubeconfig)
    except SettingsError as error:
        problems.append(str(error))
    else:
        files = kubeconfig.files
        contexts = tuple(
            ContextChoice(entry.name, entry.server, entry.name == kubeconfig.current) for entry in kubeconfig.contexts
        )
    return Offer(
        contexts=contexts,
        ssh_hosts=ssh_hosts(settings.ssh_config),
        vantages=settings.vantages,
        problems=tuple(problems),
        files=tuple(str(path) for path in files),
        pod_namespace=settings.pod_namespace,
        was_read=was_read,
    )
