"""YAML and JSON text to plain values that know the lines they stand on. The one door to yaml for manifests.

Scalars are read as kubectl reads them (YAML 1.1 without dates and base 60). Nothing is executed, aliases are shared and
counted: a text that would unfold into more than ITEMS_LIMIT values is refused where it gets there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kubeshield_tui.model.text import printable

ITEMS_LIMIT = 2_000_000
"""Values of one document, aliases unfolded."""
DEPTH_LIMIT = 60
_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NOTHING_IN_IT = re.compile(r"(\s*(#.*|%.*|\.\.\.\s*)?(\n|$))*")
_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = frozenset({None, "!", f"{_TAG}map", f"{_TAG}seq"})
_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "binary", "timestamp"))
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(f for w in ("y", "yes", "on", "true") for f in (w, w.capitalize(), w.upper()))
_FALSE = frozenset(f for w in ("n", "no", "off", "false") for f in (w, w.capitalize(), w.upper()))
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMBER_START = frozenset("+-.0123456789")


class Mapping(dict[str, Any]):
    """An object that knows its lines."""

    __slots__ = ("line", "lines", "twice")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        """Line of each key."""
        self.twice: tuple[str, int] | None = None
        """A key that stands there twice, and its line."""


class Sequence(list[Any]):
    """A list that knows its lines."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []
        """Line of each item."""


class Document(NamedTuple):
    """One document of a text."""

    value: Any
    line: int


class Unreadable(NamedTuple):
    """A document that could not be read."""

    line: int
    why: str
    text: str
    """The document as it stands there."""


class _ComposeError(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


def documents(text: str) -> Iterator[Document | Unreadable]:
    """Read the documents of a text one by one: one that can't be read does not end the others. Never raises."""
    for piece, offset in _pieces(text):
        if _NOTHING_IN_IT.fullmatch(piece):
            continue
        found, failed = _read(piece, offset)
        if failed is not None and piece.lstrip()[:1] in {"{", "["}:
            found, failed = _read_json(piece, offset, failed)
        yield from found
        if failed is not None:
            yield failed


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Pieces between document markers, each with the number of lines before it."""
    starts = [0, *(match.start() for match in _MARKER.finditer(text))]
    offset = 0
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        piece = text[begin:end]
        yield piece, offset
        offset += piece.count("\n")


def _read_json(piece: str, offset: int, failed: Unreadable) -> tuple[list[Document], Unreadable | None]:
    """Read what YAML refuses and JSON allows, such as tabs; its lines are not known."""
    try:
        return [Document(json.loads(piece), offset + 1)], None
    except (ValueError, RecursionError):
        return [], failed


def _read(piece: str, offset: int) -> tuple[list[Document], Unreadable | None]:
    import yaml

    found: list[Document] = []
    try:
        events = yaml.parse(piece, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                value = _Composer(events, offset).compose()
                found.append(Document(value, getattr(value, "line", offset + 1)))
    except _ComposeError as error:
        return found, Unreadable(error.line, error.why, piece)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + offset + 1 if error.problem_mark else offset + 1
        return found, Unreadable(line, f"not YAML: {printable(error.problem or error.context, 120)}", piece)
    except yaml.YAMLError as error:
        reason = printable(getattr(error, "reason", "") or error, 120)
        line = offset + 1 + piece.count("\n", 0, int(getattr(error, "position", 0) or 0))
        return found, Unreadable(line, f"not YAML: {reason}", piece)
    return found, None


class _Open(NamedTuple):
    """A collection that is being read."""

    value: Mapping | Sequence
    anchor: str | None
    before: int
    """Values read before it."""


class _Composer:
    """Makes values of the events of one document."""

    def __init__(self, events: Iterator[Any], offset: int) -> None:
        self._events = events
        self._offset = offset
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._count = 0
        self._open: list[_Open] = []
        self._keys: list[str | None] = []
        self._merged: dict[int, list[Mapping]] = {}

    def compose(self) -> Any:
        """Read up to the end of the document. Raises _ComposeError and yaml.YAMLError."""
        import yaml

        root: Any = None
        for event in self._events:
            line = event.start_mark.line + self._offset + 1
            match event:
                case yaml.ScalarEvent():
                    value = self._scalar(event, line)
                    self._note(event.anchor, value, self._count - 1)
                    self._add(value, line)
                    root = value if not self._open else root
                case yaml.AliasEvent():
                    self._add(self._alias(event.anchor, line), line)
                case yaml.MappingStartEvent():
                    self._begin(event, Mapping(line), line)
                case yaml.SequenceStartEvent():
                    self._begin(event, Sequence(line), line)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    closed = self._end()
                    root = closed if not self._open else root
                case yaml.DocumentEndEvent():
                    break
        return root

    def _begin(self, event: Any, value: Mapping | Sequence, line: int) -> None:
        self._counted(1, line)
        if len(self._open) >= DEPTH_LIMIT:
            raise _ComposeError(line, f"more than {DEPTH_LIMIT} levels deep")
        if event.tag not in _COLLECTION_TAGS:
            raise _ComposeError(line, f"{printable(event.tag, 60)!r} is not a tag known here")
        if self._open and self._keys[-1] is None and isinstance(self._open[-1].value, Mapping):
            raise _ComposeError(line, "a key must be plain text")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, event.anchor, self._count - 1))
        self._keys.append(None)

    def _end(self) -> Mapping | Sequence:
        value, anchor, before = self._open.pop()
        self._keys.pop()
        for other in reversed(self._merged.pop(id(value), ())):
            for key, item in other.items():
                if key not in value and isinstance(value, Mapping):
                    value[key] = item
                    value.lines[key] = other.lines[key]
        self._note(anchor, value, before)
        if self._open:
            self._add(value, value.line)
        return value

    def _note(self, anchor: str | None, value: Any, before: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, self._count - before)

    def _alias(self, anchor: str | None, line: int) -> Any:
        known = self._anchors.get(anchor or "")
        if known is None:
            raise _ComposeError(line, f"alias *{printable(anchor, 60)} stands before or inside what it names")
        value, size = known
        self._counted(size, line)
        return value

    def _counted(self, size: int, line: int) -> None:
        self._count += size
        if self._count > ITEMS_LIMIT:
            raise _ComposeError(line, f"unfolds into more than {ITEMS_LIMIT:,} values")

    def _add(self, value: Any, line: int) -> None:
        if not self._open:
            return
        inside = self._open[-1].value
        if isinstance(inside, Sequence):
            inside.append(value)
            inside.lines.append(line)
            return
        key = self._keys[-1]
        if key is None:
            if isinstance(value, dict | list):
                raise _ComposeError(line, "a key must be plain text")
            self._keys[-1] = text = value if isinstance(value, str) else json.dumps(value)
            if text in inside:
                inside.twice = inside.twice or (text, line)
            inside.lines[text] = line
            return
        self._keys[-1] = None
        if key == "<<":
            self._merge(inside, value, line)
        else:
            inside[key] = value

    def _merge(self, inside: Mapping, value: Any, line: int) -> None:
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(item, Mapping) for item in listed):
            raise _ComposeError(line, "<< takes objects only")
        self._merged.setdefault(id(inside), []).extend(reversed(listed))
        del inside.lines["<<"]

    def _scalar(self, event: Any, line: int) -> Any:
        self._counted(1, line)
        tag = event.tag
        if tag == "!" or (tag is None and not event.implicit[0]):
            return event.value
        if tag is None:
            return plain(event.value)
        if tag not in _SCALAR_TAGS:
            raise _ComposeError(line, f"{printable(tag, 60)!r} is not a tag known here")
        return event.value if tag == f"{_TAG}str" else plain(event.value)


def plain(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in _NUMBER_START or len(text) > 40:
        return text
    if _INTEGER.fullmatch(text):
        digits = text.replace("_", "")
        is_octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        return int(digits, 8) if is_octal else int(digits, 0)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
