"""`kubeshield selftest`: show whether a cluster enforces NetworkPolicies, with two pods of our own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.errors import ConsentMissing, SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.model.event import Event
    from kubeshield_tui.model.evidence import SelfTest


def add_selftest(parser: argparse.ArgumentParser) -> None:
    """Flags of `selftest`."""
    add = parser.add_argument
    add("--kubeconfig", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="kubeconfig")
    add("--context", action="append", default=argparse.SUPPRESS, metavar="C", help="context of the kubeconfig")
    add("--pod-image", default=argparse.SUPPRESS, metavar="IMAGE", help="image with python3 (default: python:3-slim)")
    add("--yes", action="store_true", default=argparse.SUPPRESS, help="create the objects without asking")
    add("--format", default="text", choices=("text", "json"), help="text or json (default: text)")


def selftest(arguments: argparse.Namespace) -> int:
    """Run it; returns 0 where policies are enforced, 1 where they are not, 3 where nothing could be told."""
    from kubeshield_tui.cli.process import INTERRUPTED, run_until_signal
    from kubeshield_tui.session.doors import resolve_contexts
    from kubeshield_tui.session.selftest import objects_of_self_test
    from kubeshield_tui.settings.schema import DEFAULT_POD_IMAGE, Settings

    image = arguments.pod_image or DEFAULT_POD_IMAGE
    settings = Settings(kubeconfig=arguments.kubeconfig, contexts=tuple(arguments.context), pod_image=image)
    contexts = resolve_contexts(settings)
    if len(contexts) != 1:
        raise SettingsError("selftest runs in one cluster at a time", "Name one --context")
    if not arguments.yes:
        objects = "\n".join(f"  {line}" for line in objects_of_self_test(image))
        raise ConsentMissing(
            f"these objects would be created in {contexts[0]}:\n{objects}\n", "Say --yes if they may be"
        )
    told: list[SelfTest] = []
    if run_until_signal(_run(settings, contexts[0], told)):
        return INTERRUPTED
    _print(told[0], arguments.format)
    return {True: 0, False: 1, None: 3}[told[0].enforced]


async def _run(settings: object, context: str, told: list[SelfTest]) -> None:
    from kubeshield_tui.session.doors import connect_cluster
    from kubeshield_tui.session.selftest import run_self_test
    from kubeshield_tui.settings.schema import Settings

    assert isinstance(settings, Settings)
    client = await connect_cluster(context, settings.kubeconfig)
    try:
        told.append(await run_self_test(client, settings.pod_image, _say))
    finally:
        await client.close()


def _say(event: Event) -> None:
    from kubeshield_tui.model.event import ObjectCreated, ObjectLeft, ObjectRemoved

    match event:
        case ObjectCreated():
            print(f"kubeshield: created {event.object}", file=sys.stderr)
        case ObjectRemoved():
            print(f"kubeshield: removed {event.object}", file=sys.stderr)
        case ObjectLeft():
            print(f"kubeshield: LEFT BEHIND {event.object}: {event.why}", file=sys.stderr)


def _print(test: SelfTest, form: str) -> None:
    if form == "json":
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(test), indent=2).decode())
        return
    verdict = {True: "ENFORCED", False: "NOT ENFORCED", None: "NOTHING TOLD"}[test.enforced]
    asking, asked = test.nodes
    print(f"{test.cluster}: NetworkPolicies {verdict}")
    print(f"  without a policy    {test.before}")
    if test.after:
        print(f"  under a deny-all    {test.after}" + (f"; a denial is a {test.deny_style}" if test.deny_style else ""))
    if test.lag is not None and test.release is not None:
        print(f"  took effect         {test.lag:.1f} s after it was made, gone {test.release:.1f} s after its removal")
    print(f"  nodes               asked from {asking or '?'} to {asked or '?'}")
    if test.detail:
        print(f"  {test.detail}")
