"""`kubeshield expect init | check | schema`: a file of expectations to begin with, its check, its keys."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kubeshield_tui.cli import options
from kubeshield_tui.errors import SettingsError

if TYPE_CHECKING:
    from kubeshield_tui.discovery.catalogue import Catalogue
    from kubeshield_tui.model.endpoint import Endpoint


def add_expect(parser: argparse.ArgumentParser) -> None:
    """Flags of `expect`."""
    what = parser.add_subparsers(dest="what", metavar="init|check|schema", required=True)
    init = what.add_parser("init", help="write a commented file from what is found; it changes nothing as it is")
    init.add_argument("--kubeconfig", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="kubeconfig")
    init.add_argument("--context", action="append", default=argparse.SUPPRESS, metavar="C", help="again for several")
    init.add_argument(
        "--from", dest="known", type=Path, metavar="FILE", help="a JSON report or a record, not a cluster"
    )
    options.add_catalogue(init)
    init.add_argument("--output", type=Path, metavar="FILE", help="write there, where nothing is yet")
    check = what.add_parser("check", help="check a file: every error with its line and key")
    check.add_argument("file", type=Path, metavar="FILE", help="expectations")
    options.add_catalogue(check)
    what.add_parser("schema", help="print the JSON Schema of such a file, for editors")


def expect(arguments: argparse.Namespace) -> int:
    """Run the command."""
    match arguments.what:
        case "init":
            return _init(arguments)
        case "check":
            return _check(arguments)
        case _:
            from kubeshield_tui.settings.expect_form import expect_schema

            print(json.dumps(expect_schema(), indent=2))
            return 0


def _check(arguments: argparse.Namespace) -> int:
    from time import time

    from kubeshield_tui.discovery.catalogue import load
    from kubeshield_tui.judgement.expectations import Expectations, known_components
    from kubeshield_tui.judgement.review import never_decide, review
    from kubeshield_tui.settings.expect_file import read_expectations

    path, catalogue = arguments.file, load(options.catalogue_from(arguments))
    declared = read_expectations(path, known_components(catalogue))
    lines = review(Expectations(catalogue=catalogue, declared=declared, now=time()), (), ())
    print(f"{path}: {len(declared.rules)} rules, {len(declared.exceptions)} exceptions, no error")
    for note in (*never_decide(declared.rules), *(f"{line.shown}: {note}" for line in lines for note in line.notes)):
        print(note)
    return 0


def _init(arguments: argparse.Namespace) -> int:
    from kubeshield_tui.discovery.catalogue import load
    from kubeshield_tui.report.expect_file import expectations_file

    catalogue = load(options.catalogue_from(arguments))
    if arguments.known is not None:
        from kubeshield_tui.report.found import read_found

        title, endpoints = read_found(arguments.known)
    else:
        import asyncio

        title, endpoints = asyncio.run(_discovered(arguments, catalogue))
    text = expectations_file(title, endpoints, catalogue)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        with arguments.output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        hint = (
            "Name a file that does not exist" if isinstance(error, FileExistsError) else "Name one that can be written"
        )
        raise SettingsError(f"--output {arguments.output}: {error.strerror}", hint) from error
    print(f"kubeshield: wrote {arguments.output}: {len(endpoints)} endpoints found", file=sys.stderr)
    return 0


async def _discovered(arguments: argparse.Namespace, catalogue: Catalogue) -> tuple[str, tuple[Endpoint, ...]]:
    """Read the contexts, read-only. Raises ClusterError."""
    from kubeshield_tui.discovery.discover import discover
    from kubeshield_tui.session.doors import connect_cluster, resolve_contexts
    from kubeshield_tui.settings.schema import Settings

    settings = Settings(kubeconfig=arguments.kubeconfig, contexts=tuple(arguments.context))
    contexts = resolve_contexts(settings)
    endpoints: list[Endpoint] = []
    for context in contexts:
        client = await connect_cluster(context, settings.kubeconfig)
        try:
            found = await discover(client, catalogue)
        finally:
            await client.close()
        endpoints.extend(found.endpoints)
        for denied in found.denied:
            print(f"kubeshield: {context}: not readable: {denied.what} ({denied.why})", file=sys.stderr)
    return ", ".join(contexts), tuple(endpoints)
