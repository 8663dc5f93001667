"""HTTP servers of the range: what each kind answers a stranger, as servers.toml writes it."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

import msgspec


class Answer(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One answer."""

    status: int = 200
    type: str = "text/plain"
    body: str = ""
    headers: dict[str, str] = {}
    wants: str = ""
    """`Name: value` that a request must carry."""


class Server(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One kind of server."""

    tls: bool = False
    client_certificate: bool = False
    """Turns everybody away who has none: nobody holds one of this range."""
    organization: str = ""
    """`O` of its certificate."""
    closes: bool = False
    """Ends the connection after each answer."""
    answers: dict[str, Answer] = {}
    """`/path`, or `METHOD /path` for one method only."""
    silent: list[str] = []
    otherwise: Answer = Answer(status=404)

    def answer(self, method: str, path: str, head: str) -> Answer | None:
        """Answer a request, or keep silent. `head`: its header lines."""
        name = f"{method} {path}"
        if name in self.silent:
            return None
        found = self.answers.get(name) or (self.answers.get(path) if method != "PUT" else None)
        if found is None or found.wants.lower() not in head.lower():
            return self.otherwise
        return found


@cache
def servers() -> dict[str, Server]:
    """Return all kinds of servers by name."""
    text = resources.files("kubeshield_tui.range").joinpath("servers.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Server])
