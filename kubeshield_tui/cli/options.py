"""Flags, and settings made of them. Only argparse is imported until flags are read."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.model.probe import Timing
    from kubeshield_tui.model.vantage import Zone
    from kubeshield_tui.settings.schema import Limits, Settings

FORMATS_TODAY = ("text", "json", "ndjson")
FORMATS_LATER = ("junit", "sarif", "markdown", "html")
SEVERITIES = ("info", "low", "medium", "high", "critical")


def add_common(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Flags of the dashboard and of `audit`.

    `again`: the same flags behind a command. They have no defaults there, since argparse would lay those over what was
    given before the command: `kubeshield --context prod audit` must not audit another cluster.
    """
    add = _adder(parser, again)
    add("--kubeconfig", type=Path, metavar="FILE", help="kubeconfig (default: $KUBECONFIG, then ~/.kube/config)")
    add("--context", action="append", default=[], metavar="C", help="context of the kubeconfig; again for several")
    add("--ssh-config", type=Path, metavar="FILE", help="OpenSSH client configuration (default: ~/.ssh/config)")
    add(
        "--vantage",
        action="append",
        default=[],
        metavar="V",
        help="local, ssh:HOST, pod:NAMESPACE (own pod), pod:NAMESPACE/POD, pod:NAMESPACE@NODE, node:NODE (over SSH "
        "where ssh_config has that Host, else an own pod in the node's network); again for several",
    )
    add("--zone", action="append", default=[], metavar="V=Z", help="zone of a vantage: outside, admin, pod or node")
    add(
        "--cni",
        action="append",
        default=[],
        metavar="[C:]K=V,...",
        help="what you know of how policies are enforced (enforces=yes, deny-style=icmp, ...), in all clusters or in "
        "context C; overrules what was recognised and tested; again for several",
    )
    add("--targets", type=Path, metavar="FILE", help="targets, one HOST:PORT a line, ' expect=blocked|reachable'")
    add_catalogue(parser, again=again)
    add("--no-discovery", action="store_true", help="ask the targets only; needs no kubeconfig")
    add("--expect", type=Path, metavar="FILE", help="what must be blocked or reachable, over the baseline (TOML)")
    add("--yes", action="store_true", help="create the own pods that vantages need, without asking")
    add("--pod-image", default=None, metavar="IMAGE", help="image of own pods, with python3 (default: python:3-slim)")
    add("--per-namespace", action="store_true", help="an own pod in every namespace that has pods, 40 at most")
    add("--per-node", action="store_true", help="an own pod on every schedulable node, 40 at most")
    add("--pod-namespace", default=None, metavar="NS", help="namespace of own pods for nodes (default: default)")
    add("--read-firewalls", action="store_true", help="read the rules of SSH hosts and nodes when the run begins")
    add(
        "--firewall-pods",
        action="store_true",
        help="read them also on node:NODE without SSH, by a pod with CAP_NET_ADMIN in the node's network; needs --yes",
    )
    add_timing(parser, again=again)


def _adder(parser: argparse.ArgumentParser, again: bool) -> Callable[..., argparse.Action]:
    def add(*names: str, **keywords: Any) -> argparse.Action:
        if again:
            keywords["default"] = argparse.SUPPRESS
        return parser.add_argument(*names, **keywords)

    return add


def add_catalogue(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Flag of the user's own catalogue."""
    add = _adder(parser, again)
    add("--catalogue", type=Path, metavar="FILE", help="components, ports and requests of your own")


def add_timing(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Flags on how to ask."""
    add = _adder(parser, again)
    add("--record", type=Path, metavar="FILE", help="write the event log (it names every weak spot: mode 0600)")
    add("--timeout", type=float, metavar="S", help="seconds an attempt waits (default: 1.5, confirming ones 3.5)")
    add("--attempts", type=int, metavar="N", help="attempts before silence counts (default: 2; 1 proves nothing)")
    add("--rate", type=float, metavar="N", help="new probes a second at most (default: 2000)")


def add_audit(parser: argparse.ArgumentParser) -> None:
    """Flag of `audit` alone: in the dashboard it is a key."""
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="show in each cluster whether policies are enforced, with two own pods in a namespace of their own",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Flags on what to print."""
    add = parser.add_argument
    add("--format", default="text", metavar="F", help=f"{', '.join(FORMATS_TODAY)} (default: text)")
    add("--output", type=Path, metavar="FILE", help="write there instead of standard output")
    add("--fail-on", default="medium", choices=SEVERITIES, help="severity from which on to exit 1 (default: medium)")


def add_screen(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Flags of what has a screen."""
    add = _adder(parser, again)
    add("--theme", metavar="NAME", help="colour theme")
    add("--ascii", action="store_true", help="draw with ASCII only")


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Flags of `demo`."""
    parser.add_argument("--scenario", default="default", metavar="S", help="name of a scenario, or a TOML file")
    parser.add_argument("--headless", action="store_true", help="no screen: print the report, exit as audit does")
    parser.add_argument(
        "--screenshots", type=Path, metavar="DIR", help="write SVG screenshots of every screen and exit"
    )
    _adder(parser, again=True)("--expect", type=Path, metavar="FILE", help="what must be blocked or reachable (TOML)")
    add_timing(parser)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Flags of `sweep`."""
    add = _adder(parser, again=True)
    add("--kubeconfig", type=Path, metavar="FILE", help="kubeconfig (default: $KUBECONFIG, then ~/.kube/config)")
    add("--context", action="append", metavar="C", help="context of the kubeconfig; again for several")
    parser.add_argument("--force", action="store_true", help="also what a live run holds")


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Make settings of flags. Raises SettingsError naming the flag."""
    from kubeshield_tui.model.expectation import Severity
    from kubeshield_tui.model.vantage import parse_vantage
    from kubeshield_tui.session.expand import require_zones, resolve_nodes
    from kubeshield_tui.settings.schema import DEFAULT_POD_IMAGE, Format, Settings

    vantages = tuple(dict.fromkeys(parse_vantage(text) for text in arguments.vantage or ["local"]))
    settings = Settings(
        kubeconfig=arguments.kubeconfig,
        contexts=tuple(arguments.context),
        ssh_config=_existing(arguments.ssh_config, "--ssh-config"),
        vantages=vantages,
        zones=tuple(_zone(text) for text in arguments.zone),
        cni=tuple(said for text in arguments.cni for said in cni_from(text)),
        targets=_existing(arguments.targets, "--targets"),
        expect=expect_from(arguments),
        catalogue=catalogue_from(arguments),
        discovery=not arguments.no_discovery,
        consent=arguments.yes,
        pod_image=arguments.pod_image or DEFAULT_POD_IMAGE,
        pod_namespace=_pod_namespace(arguments.pod_namespace),
        read_firewalls=arguments.read_firewalls or arguments.firewall_pods,
        firewall_pods=arguments.firewall_pods,
        per_namespace=arguments.per_namespace,
        per_node=arguments.per_node,
        self_test=getattr(arguments, "self_test", False),
        timing=timing_from(arguments),
        limits=limits_from(arguments),
        fail_on=Severity(getattr(arguments, "fail_on", "medium")),
        format=Format(format_from(arguments)),
        output=getattr(arguments, "output", None),
        record=arguments.record,
    )
    if not settings.is_open_ended:
        require_zones(settings)
    return resolve_nodes(settings)


def format_from(arguments: argparse.Namespace) -> str:
    """The output format. Raises SettingsError for those that come later."""
    wanted = str(getattr(arguments, "format", "text"))
    if wanted in FORMATS_TODAY:
        return wanted
    if wanted in FORMATS_LATER:
        raise SettingsError(f"--format {wanted} is not there yet", f"Use one of: {', '.join(FORMATS_TODAY)}")
    raise SettingsError(f"--format {wanted!r} is not a format", f"Use one of: {', '.join(FORMATS_TODAY)}")


def timing_from(arguments: argparse.Namespace, default: Timing | None = None) -> Timing:
    """How long and how often to wait. Raises SettingsError."""
    from kubeshield_tui.model.probe import Timing

    default = default or Timing()
    timeout, attempts = arguments.timeout, arguments.attempts
    if timeout is not None and not 0.05 <= timeout <= 60:
        raise SettingsError(
            f"--timeout {timeout:g}: expected 0.05 to 60 seconds", "1.5 waits for one retransmitted SYN"
        )
    if attempts is not None and not 1 <= attempts <= 10:
        raise SettingsError(f"--attempts {attempts}: expected 1 to 10", "Silence counts when it was met twice")
    return Timing(
        timeout=default.timeout if timeout is None else timeout,
        confirm=default.confirm if timeout is None else timeout,
        attempts=default.attempts if attempts is None else attempts,
    )


def expect_from(arguments: argparse.Namespace) -> Path | None:
    """The user's expectations. Only a file that was named: whether an audit is clean must not hang on a hidden one."""
    return _existing(arguments.expect, "--expect")


def catalogue_from(arguments: argparse.Namespace) -> Path | None:
    """The user's own catalogue: the file that was named, or the one in the configuration folder if it is there."""
    from kubeshield_tui.settings.paths import user_file

    return _existing(arguments.catalogue, "--catalogue") or user_file("catalogue.toml")


def limits_from(arguments: argparse.Namespace) -> Limits:
    """How fast to ask. Raises SettingsError."""
    from kubeshield_tui.settings.schema import DEFAULT_RATE, Limits

    rate = arguments.rate
    if rate is not None and not 0.1 <= rate <= 100_000:
        raise SettingsError(f"--rate {rate:g}: expected 0.1 to 100000 probes a second", "The default is 2000")
    return Limits(rate=DEFAULT_RATE if rate is None else rate)


def _zone(text: str) -> tuple[str, Zone]:
    from kubeshield_tui.model.vantage import Zone

    vantage, equals, zone = text.rpartition("=")
    if not equals or zone not in set(Zone):
        raise SettingsError(f"--zone {text!r}: expected VANTAGE=ZONE", f"Zones are {', '.join(Zone)}")
    return vantage, Zone(zone)


def cni_from(text: str) -> Iterator[tuple[str, str, str]]:
    """What is stated of enforcement: context (empty: all), knob, value. Raises SettingsError naming the flag."""
    from kubeshield_tui.evidence.enforcement import read_knobs

    context, _, said = text.rpartition(":")
    try:
        knobs = read_knobs(said)
    except SettingsError as error:
        raise SettingsError(f"--cni {text!r}: {error.message}", error.hint) from error
    return ((context, knob, value) for knob, value in knobs)


def _pod_namespace(text: str | None) -> str:
    from kubeshield_tui.settings.schema import DEFAULT_POD_NAMESPACE

    return DEFAULT_POD_NAMESPACE if text is None else namespace_from(text, "--pod-namespace")


def namespace_from(text: str, flag: str) -> str:
    """A namespace's name. Raises SettingsError naming the flag."""
    from kubeshield_tui.model.vantage import parse_vantage

    with contextlib.suppress(SettingsError):
        spec = parse_vantage(f"pod:{text}")
        if spec.namespace == text:
            return text
    raise SettingsError(f"{flag} {text!r} is not a namespace", "It is a DNS label, as in kubectl get ns")


def _existing(path: Path | None, flag: str) -> Path | None:
    if path is not None and not path.is_file():
        raise SettingsError(f"{flag} {path}: no such file", "Check the path")
    return path
