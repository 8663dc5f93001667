"""What the welcome screen offers, from local files alone: nothing is connected to and nothing is sent before a yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubeshield_tui.model.vantage import VantageKind, VantageSpec
from kubeshield_tui.settings.schema import Settings


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
            case _ if spec.creates_pod:
                creates.extend(objects_of(spec, settings.pod_image))
            case _:
                sends.append(f"{spec.text}: one exec of python3 in that pod for the time of the run")
    return Intent(tuple(sends), tuple(creates))


def objects_of(spec: VantageSpec, image: str) -> tuple[str, ...]:
    """Name the objects that an own-pod vantage creates, as they are shown before consent."""
    where = f" on node {spec.node}" if spec.node else ""
    return (
        f"Lease {spec.namespace}/kubeshield-... (owner of the pod; goes with it)",
        f"Pod {spec.namespace}/kubeshield-...{where} ({image}; restricted, no token, never Ready, ends by itself)",
    )


def make_offer(settings: Settings) -> Offer:
    """Read the kubeconfig's contexts and ssh_config's hosts; what can't be read becomes a sentence."""
    from kubeshield_tui.cluster.kubeconfig import read_kubeconfig
    from kubeshield_tui.errors import SettingsError
    from kubeshield_tui.settings.ssh_hosts import ssh_hosts

    problems: list[str] = []
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
    )
