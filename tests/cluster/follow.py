"""Follow the cluster as the dashboard does and print each event as a line: runs where the cluster's addresses are.

python -m tests.cluster.follow KUBECONFIG VANTAGE...
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kubeshield_tui.model.event import Event, encode_event
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.session import verdicts
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings


def say(event: Event) -> None:
    sys.stdout.buffer.write(encode_event(event) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    # Whatever is asked must follow from a change, not from an answer's age.
    verdicts.AGE_SECONDS = verdicts.HOT_AGE_SECONDS = 3600.0
    kubeconfig, *vantages = sys.argv[1:]
    settings = Settings(kubeconfig=Path(kubeconfig), vantages=tuple(parse_vantage(text) for text in vantages))
    await Session(settings, listeners=[say]).run()


asyncio.run(main())
