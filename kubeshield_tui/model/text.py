"""Make foreign text printable, once, where it enters the model.

Terminals obey escape sequences and Textual passes them through: a banner could set the title, write the clipboard or
swallow a frame. Whatever a cluster, a host or a peer says goes through `printable` before it is kept.
"""

from __future__ import annotations

import unicodedata

TEXT_LIMIT = 2_000
"""Characters kept of one foreign text unless the caller says otherwise."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object, limit: int = TEXT_LIMIT, *, lines: bool = False) -> str:
    """Return `text` with nothing in it that a terminal would obey, at most `limit` characters.

    Control characters become control pictures (ESC is shown as ␛), everything else that is invisible or reorders text
    becomes U+FFFD. With `lines` line feeds and tabs stay. A text that was cut ends in an ellipsis. Never raises.
    """
    value = text if isinstance(text, str) else _decoded(text)
    if len(value) > limit:
        value = value[: max(limit - 1, 0)] + "…"
    if value.isprintable():
        return value
    return "".join(_shown(character, lines) for character in value)


def _decoded(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else str(value)


def _shown(character: str, lines: bool) -> str:
    if lines and character in "\n\t":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in _HIDDEN:
        return _REPLACEMENT
    return " " if character.isspace() else character
