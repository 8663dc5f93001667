"""`kubeshield schema`: the JSON Schema of the JSON report."""

from __future__ import annotations

import argparse
import json


def schema(_: argparse.Namespace) -> int:
    """Print the schema."""
    from kubeshield_tui.report.document import report_schema

    print(json.dumps(report_schema(), indent=2))
    return 0
