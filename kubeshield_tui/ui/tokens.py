"""Our colour tokens. Apart from the themes, so that the first frame needs nothing else."""

from __future__ import annotations

DEFAULT_THEME = "night"
TOKENS = {
    "exposed": "#ff5c7a",
    "broken": "#ff9e64",
    "unproven": "#d8b365",
    "lost": "#c792ea",
    "reachable": "#8fbf7f",
    "blocked": "#a8915a",
    "layered": "#6fa8dc",
    "dead": "#7d8499",
    "untested": "#4a5066",
    "quiet": "#7d8499",
    "heading": "#9aa5ce",
    "simulated": "#7dcfff",
}
"""Token -> colour where a theme does not say otherwise; themes set them as `variables.verdict-NAME`."""


def token_defaults() -> dict[str, str]:
    """Our tokens as theme variables."""
    return {f"verdict-{name}": colour for name, colour in TOKENS.items()}
