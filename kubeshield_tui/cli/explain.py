"""`kubeshield explain netpol | firewall`: what collected rules say of one connection, without asking the wire."""

from __future__ import annotations

import argparse


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Flags of `explain`."""
    from kubeshield_tui.cli.explain_firewall import add_firewall
    from kubeshield_tui.cli.explain_netpol import add_netpol

    what = parser.add_subparsers(dest="what", metavar="netpol|firewall", required=True)
    add_netpol(what.add_parser("netpol", help="what network policies say", allow_abbrev=False))
    add_firewall(what.add_parser("firewall", help="what a host's packet filter says", allow_abbrev=False))


def explain(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.what == "firewall":
        from kubeshield_tui.cli.explain_firewall import firewall

        return firewall(arguments)
    from kubeshield_tui.cli.explain_netpol import netpol

    return netpol(arguments)
