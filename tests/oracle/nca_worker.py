"""Runs where network-config-analyzer is installed, and needs nothing else: one JSON line a folder of manifests.

Folders come on standard input, one a line; the answer is the tool's own text, or the error that it ended with.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def answer(folder: str) -> dict[str, str]:
    """What the tool prints of one folder."""
    from nca.nca_cli import nca_main

    said, complained = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            nca_main(["--connectivity", "-r", folder, "-o", "txt_no_fw_rules"])
    except SystemExit as end:
        if end.code not in {0, None}:
            return {"folder": folder, "error": f"exit {end.code}: {complained.getvalue()[-500:]}"}
    except Exception as error:
        return {"folder": folder, "error": f"{type(error).__name__}: {error}"}
    return {"folder": folder, "text": said.getvalue()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), flush=True)
