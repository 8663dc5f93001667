"""The console scripts `kubeshield` and `kubectl-kubeshield`.

Only argparse is loaded here: `--help` and `--version` must be instant, and no front end pays for another's libraries.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kubeshield_tui import __version__
from kubeshield_tui.cli import options
from kubeshield_tui.errors import KubeShieldError

EPILOG = """exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong use or settings, 3 incomplete
Read-only unless you say --yes to a shown list of objects. `kubeshield demo` needs no cluster, no root, no network."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if argv is None else list(argv)))


def run(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(_command(arguments.command)(arguments))
    except KubeShieldError as error:
        print(f"kubeshield: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"            {error.hint}.".replace("..", "."), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away; Python would complain of it again at exit
        return 141
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Python would exit 1, which means "findings" here: a defect of ours must not look like an answer.
        if os.environ.get("KUBESHIELD_DEBUG"):
            raise
        print(f"kubeshield: internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print("            KUBESHIELD_DEBUG=1 shows where; please report it.", file=sys.stderr)
        return 3


def _command(name: str | None) -> Callable[[argparse.Namespace], int]:
    match name:
        case "audit":
            from kubeshield_tui.cli.audit import audit

            return audit
        case "demo":
            from kubeshield_tui.cli.demo import demo

            return demo
        case "expect":
            from kubeshield_tui.cli.expect import expect

            return expect
        case "doctor":
            from kubeshield_tui.cli.doctor import doctor

            return doctor
        case "rbac":
            from kubeshield_tui.cli.rbac import rbac

            return rbac
        case "remedy":
            from kubeshield_tui.cli.remedy import remedy

            return remedy
        case "explain":
            from kubeshield_tui.cli.explain import explain

            return explain
        case "schema":
            from kubeshield_tui.cli.schema import schema

            return schema
        case "selftest":
            from kubeshield_tui.cli.selftest import selftest

            return selftest
        case "sweep":
            from kubeshield_tui.cli.sweep import sweep

            return sweep
        case "vantage":
            from kubeshield_tui.cli.vantage import vantage

            return vantage
        case _:
            from kubeshield_tui.cli.dashboard import dashboard

            return dashboard


def _parser() -> argparse.ArgumentParser:
    program = "kubectl kubeshield" if Path(sys.argv[0]).name.startswith("kubectl") else "kubeshield"
    parser = argparse.ArgumentParser(
        prog=program,
        description="Live exposure auditing of Kubernetes: what is reachable from where, with proof.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kubeshield {__version__}")
    options.add_common(parser)
    options.add_screen(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (none: the dashboard)")
    audit = _add(commands, "audit", "one run, no screen, no prompt")
    options.add_common(audit, again=True)
    options.add_audit(audit)
    options.add_output(audit)
    demo = _add(commands, "demo", "the same on an embedded training range: no cluster, no root, no network")
    options.add_demo(demo)
    options.add_screen(demo, again=True)
    options.add_output(demo)
    from kubeshield_tui.cli.doctor import add_doctor
    from kubeshield_tui.cli.expect import add_expect
    from kubeshield_tui.cli.explain import add_explain
    from kubeshield_tui.cli.rbac import add_rbac
    from kubeshield_tui.cli.remedy import add_remedy
    from kubeshield_tui.cli.vantage import add_vantage

    add_doctor(_add(commands, "doctor", "what works, what does not and why; creates nothing"))
    add_rbac(_add(commands, "rbac", "print the smallest roles for the features chosen"))
    add_expect(_add(commands, "expect", "expectations: a file to begin with, its check, its keys"))
    add_vantage(_add(commands, "vantage", "probes to carry to any machine, and their results carried back"))
    add_explain(_add(commands, "explain", "what rules say of a connection, and which of them says it"))
    add_remedy(_add(commands, "remedy", "write the policy that closes the API or metadata to a namespace"))
    _add(commands, "schema", "print the JSON Schema of the JSON report")
    from kubeshield_tui.cli.selftest import add_selftest

    add_selftest(_add(commands, "selftest", "show whether NetworkPolicies are enforced, with two pods of our own"))
    options.add_sweep(_add(commands, "sweep", "remove what an interrupted run left in a cluster"))
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
