"""`kubeshield explain netpol | firewall`: what collected rules say of one connection, without asking the wire."""

from __future__ import annotations

import argparse


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Flags of `explain`."""
    from kubeshield_tui.cli.explain_netpol import add_netpol

    what = parser.add_subparsers(dest="what", metavar="netpol", required=True)
    add_netpol(what.add_parser("netpol", help="what network policies say", allow_abbrev=False))


def explain(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from kubeshield_tui.cli.explain_netpol import netpol

    return netpol(arguments)
