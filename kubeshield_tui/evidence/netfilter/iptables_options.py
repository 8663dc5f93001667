"""One line of iptables-save, taken apart into modules with their options. Nothing is understood here, nothing lost."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

FREE_TEXT = frozenset(
    {"--comment", "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string", "--hex-string", "--bytecode", "--u32"}
)
"""Options whose one value may begin with a dash."""
SHORT = {
    "--protocol": "-p", "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d",
    "--in-interface": "-i", "--out-interface": "-o", "--fragment": "-f", "--jump": "-j", "--goto": "-g",
    "--match": "-m", "--append": "-A", "--set-counters": "-c",
}  # fmt: skip
QUOTED_LIMIT = 16_000
"""Characters of a line with quotes: iptables writes no longer ones, and shlex takes the square of their number."""
_COUNTED = re.compile(r"(\d{1,20}) (\d{1,20})")
_TOKEN = re.compile(r'"([^"]*)"|([^\s"]+)')
_QUOTED = re.compile(r"""(?:(?:"[^"]+"|[^\s"']+)(?:\s+|$))+""")
GENERAL = frozenset({"-p", "-s", "-d", "-i", "-o", "-f", "-4", "-6"})


class Option(NamedTuple):
    """One option with its values."""

    name: str
    negated: bool
    values: tuple[str, ...]

    @property
    def value(self) -> str:
        """The first value, empty where there is none."""
        return self.values[0] if self.values else ""

    @property
    def text(self) -> str:
        """As it would be written today."""
        return " ".join((("! " if self.negated else "") + self.name, *map(_quoted, self.values)))


@dataclass(slots=True)
class Module:
    """A match or target with the options behind it."""

    name: str
    options: list[Option] = field(default_factory=list)

    @property
    def text(self) -> str:
        """As it would be written today."""
        return " ".join((self.name, *(option.text for option in self.options))).strip()


@dataclass(slots=True)
class Line:
    """A rule's line."""

    chain: str = ""
    general: list[Option] = field(default_factory=list)
    matches: list[Module] = field(default_factory=list)
    target: Module | None = None
    goto: bool = False
    counter: tuple[int, int] | None = None


def _quoted(value: str) -> str:
    return shlex.quote(value) if not value or " " in value else value


def split(text: str) -> list[str] | None:
    """Take a line apart at its blanks, quotes honoured; None where a quote, or a line with quotes, never ends."""
    if '"' not in text and "'" not in text and "\\" not in text:
        return text.split()
    if len(text) > QUOTED_LIMIT:
        return None
    if _QUOTED.fullmatch(text) and "\\" not in text:  # as iptables-save writes; shlex takes ten times as long
        return [quoted or plain for quoted, plain in _TOKEN.findall(text)]
    try:
        return shlex.split(text)
    except ValueError:
        return None


def take_apart(tokens: list[str]) -> Line | None:
    """Sort the tokens behind a line's counters; None where there is no -A CHAIN."""
    line = Line()
    module = Module("")
    """Options before any -m belong to the protocol's own match, as old dumps leave it out."""
    line.matches.append(module)
    at = 0
    while at < len(tokens):
        negated = tokens[at] == "!"
        at += negated
        if at >= len(tokens):
            return None
        name = SHORT.get(tokens[at], tokens[at])
        if not name.startswith("-"):
            return None
        values, at = _values(tokens, at + 1, name)
        if values[:1] == ["!"]:  # `-s ! x`, before 2009
            negated, values = True, values[1:]
        option = Option(name, negated, tuple(values))
        if name in {"-m", "-j", "-g"}:
            module = Module(option.value)
            if name == "-m":
                line.matches.append(module)
            else:
                line.target, line.goto = module, name == "-g"
        elif not _general(line, option):
            module.options.append(option)
    return line if line.chain else None


def _general(line: Line, option: Option) -> bool:
    if option.name == "-A":
        line.chain = option.value
    elif option.name in GENERAL:
        line.general.append(option)
    elif option.name == "-c" and (counted := _COUNTED.fullmatch(" ".join(option.values))):
        line.counter = (int(counted[1]), int(counted[2]))
    else:
        return False
    return True


def _values(tokens: list[str], at: int, name: str) -> tuple[list[str], int]:
    if name in FREE_TEXT and at < len(tokens):
        return [tokens[at]], at + 1
    end = at
    for token in islice(tokens, at, None):
        if token == "!":
            if end + 1 < len(tokens) and tokens[end + 1].startswith("-"):
                break
        elif token.startswith("-") and len(token) > 1 and not token[1:].isdigit():
            break
        end += 1
    return tokens[at:end], end
