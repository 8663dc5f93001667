"""What happens to dumps on their way: cut off, pasted, reordered, anonymised, of another version, locale or shape."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

WORDS = (
    *"""
    -A ! -m --frobnicate -j -g FROB ACCEPT --dport 0:70000 --ctstate NEU,ETABLIERT -s x.x.x.x/32 1.2.3.4/33
    ::/129 fe80::1%eth0 --to-destination [::1]:70000-1 0xffffffffffffffff -1 1e9 ٣ ² " ' COMMIT *filter : :INPUT
    [1:2] # { ] null create add hash:ip,port,net nomatch timeout list:set default via sysctl = , NaN src= dport=
    2001:db8::/32 10.0.0.0-10.255.255.255 tcp:http any all + @set
    """.split(),
    "\\",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\\ud800",
    "9" * 5000,
    "a" * 300,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    float("nan"),
    "",
    "\ud800",
    "x.x.x.x",
    "\x00\x1b]0;",
    "@nowhere",
    [],
    {},
    [[]],
    {"set": []},
    "9" * 5000,
    {"prefix": {"addr": "10.0.0.0", "len": 99}},
    {"range": [9, 1]},
    {"range": ["a"]},
    {"elem": {"val": None}},
    {"concat": []},
    {"frobnicate": {"key": 1}},
    {"map": {"key": {}, "data": "@x"}},
    {"jump": {"target": "nowhere"}},
    {"match": {}},
    {"|": []},
)
PROMPTS = (
    "root@node1:~# iptables-save -c",
    "$ sudo nft -j list ruleset",
    "[root@db ~]# ipset save",
    "-- More --",
    "...",
)
LOCALES = (
    "iptables-save v1.8.9: Zugriff verweigert (Sie müssen root sein)",
    "Opération non permise (il faut être root)",
    "# Erzeugt von iptables-save v1.8.9 am Mi Nov 25 10:00:00 2026",
    "Предупреждение: таблицы iptables-legacy",
)


def spoil(random: Random, text: str) -> str:
    """Return a text that something happened to, of one to four kinds."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        way = random.choice(TREES) if _is_json(text) and random.random() < 0.6 else random.choice(TEXTS)
        text = way(random, text)
    return text


def _is_json(text: str) -> bool:
    return text.startswith(("{", "["))


# --- of any text


def _cut(random: Random, text: str) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] if random.random() < 0.7 else text[at:]


def _lines(random: Random, text: str) -> str:
    """Drop, double, swap or shuffle lines."""
    lines = text.splitlines()
    if not lines:
        return text
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[other])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            random.shuffle(lines)
        case _:
            lines[at] = lines[at][: random.randrange(len(lines[at]) + 1)] + "\n" + lines[at][-5:]
    return "\n".join(lines)


def _words(random: Random, text: str) -> str:
    """Replace, add or drop a word."""
    parts = re.split(r"(\s+|[,:{}\[\]\"])", text)
    for _ in range(random.choice((1, 1, 3, 20))):
        at = random.randrange(len(parts))
        parts[at] = random.choice((random.choice(WORDS), "", parts[random.randrange(len(parts))], parts[at] * 2))
    return "".join(parts)


def _insert(words: Sequence[str]) -> Callable[[Random, str], str]:
    def insert(random: Random, text: str) -> str:
        lines = text.splitlines()
        lines.insert(random.randrange(len(lines) + 1), random.choice(words))
        return "\n".join(lines)

    return insert


def _ends(random: Random, text: str) -> str:
    """Write lines as other systems end them, or put in front what editors do."""
    end = random.choice(("\r\n", "\r", "\u2028", "\x0b", "\n\n"))
    return random.choice(("", "\ufeff", "\n")) + text.replace("\n", end)


def _anonymous(random: Random, text: str) -> str:
    return re.sub(r"\d+\.\d+\.\d+\.\d+", random.choice(("x.x.x.x", "<ip>", "10.x.x.1", "REDACTED", "")), text)


def _numbers(random: Random, text: str) -> str:
    """Put another number in place of some."""
    share = random.choice((0.01, 0.2))
    numbers = ("-1", "65536", "4294967296", "1.5", "0x10", "9" * 400, "٣")
    return re.sub(r"\d+", lambda found: random.choice(numbers) if random.random() < share else found[0], text)


def _characters(random: Random, text: str) -> str:
    parts = list(text)
    for _ in range(random.choice((1, 5, 50))):
        if parts:
            parts[random.randrange(len(parts))] = chr(
                random.choice((0, 9, 10, 34, 92, 0x1B, 0x85, 0x202E, 0x10FFFF, 0x660))
            )
    return "".join(parts)


# --- of JSON


def _tree(random: Random, text: str) -> str:
    """Change one place of a JSON text: another value, key, order or shape."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return _words(random, text)
    for _ in range(random.choice((1, 1, 3, 10))):
        _change(random, told)
    return json.dumps(told)


def _change(random: Random, told: Any) -> None:
    """Go down a random way, and change what is there."""
    at = told
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        if not keys:
            return
        key = random.choice(keys)
        inner = at[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.15:
            break
        at = inner
    match random.randrange(6):
        case 0 | 1:
            at[key] = random.choice(VALUES)
        case 2:
            del at[key]
        case 3 if isinstance(at, dict):
            at[random.choice(("frobnicate", "type", "op", "set", "elem", "family", "name", ""))] = at.pop(key)
        case 4 if isinstance(at, list):
            random.shuffle(at)
        case _:
            at[key] = random.choice(
                ([inner], {"elem": {"val": inner}}, {"frobnicate": inner}, [inner, inner], str(inner))
            )


def _nested(random: Random, text: str) -> str:
    """Put brackets in brackets, deeper than any reader goes."""
    deep = random.choice((50, 2_000, 100_000))
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(("[", '{"a":', '{"set":[')) * deep + text[at:]


TEXTS = (
    _cut,
    _lines,
    _lines,
    _words,
    _words,
    _insert(PROMPTS),
    _insert(LOCALES),
    _ends,
    _anonymous,
    _numbers,
    _characters,
)
TREES = (_tree, _tree, _tree, _nested)
