"""`kubeshield doctor`: what works, what does not and why, in one screen. Creates nothing."""

from __future__ import annotations

import argparse
import os
import sys

from kubeshield_tui.cli.options import add_common, settings_from
from kubeshield_tui.errors import KubeShieldError

FORMATS = ("text", "json")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Flags of `doctor`: those of an audit, of which it looks at what they name."""
    add_common(parser, again=True)
    parser.add_argument("--format", choices=FORMATS, default="text", metavar="F", help="text, json (default: text)")
    parser.add_argument("--ascii", action="store_true", default=argparse.SUPPRESS, help="draw with ASCII only")


def doctor(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    import asyncio

    from kubeshield_tui.session.doctor.diagnose import diagnose

    diagnosis = asyncio.run(diagnose(settings_from(arguments)))
    if arguments.format == "json":
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(diagnosis), indent=2).decode())
    else:
        from kubeshield_tui.report.doctor import doctor_text

        encoding = sys.stdout.encoding or "ascii"
        # Python takes a C locale for UTF-8; who set it may well have a terminal that is not.
        is_plain = (os.environ.get("LC_ALL") or os.environ.get("LANG")) in {"C", "POSIX"}
        text = doctor_text(diagnosis, ascii_only=arguments.ascii or is_plain or "utf" not in encoding.lower())
        print(text.encode(encoding, "replace").decode(encoding), end="")
    return 0 if diagnosis.ok else KubeShieldError.exit_code
