"""Read an object field by field, strictly: what an API server would refuse is refused with the field's path and line.

Values that were read from files carry lines (`kubeshield_tui.evidence.netpol.yaml_lines`); plain ones have none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kubeshield_tui.model.text import printable

LIST_LIMIT = 10_000
"""Items of one list of a policy; etcd's limit of 1.5 MB an object ends below that."""
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_LABEL_KEY = re.compile(rf"(?:(?P<prefix>{_DNS_NAME})/)?{_NAME}")
_LABEL_VALUE = re.compile(rf"({_NAME})?")
_OBJECT_NAME = re.compile(_DNS_NAME)
_NAMESPACE = re.compile(_DNS_LABEL)


class FieldError(Exception):
    """A field that an API server would refuse, or that is not known here."""

    def __init__(self, path: str, message: str, line: int = 0) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.line = line


class Cursor:
    """A value with the path and the line that it stands at."""

    __slots__ = ("line", "path", "value")

    def __init__(self, value: Any, path: str = "", line: int = 0) -> None:
        self.value = value
        self.path = path
        self.line = line

    def refuse(self, message: str) -> FieldError:
        """An error about this value, to be raised."""
        return FieldError(self.path, message, self.line)

    @property
    def is_absent(self) -> bool:
        """Missing or null."""
        return self.value is None

    @property
    def is_empty(self) -> bool:
        """Missing, null or an empty text."""
        return self.value is None or self.value == ""

    def get(self, key: str) -> Cursor:
        """A field of an object, absent where there is none. Raises FieldError where this is no object."""
        return self._at(self._mapping(), key)

    def fields(self, allowed: Collection[str]) -> dict[str, Cursor]:
        """The fields that are not null. Raises FieldError for a field that is not known or stands there twice."""
        mapping = self._mapping()
        for key in mapping:
            if key not in allowed:
                at = self._at(mapping, key)
                raise at.refuse(f"is not a field known here; there are {', '.join(sorted(allowed))}")
        return {key: self._at(mapping, key) for key in mapping if mapping[key] is not None}

    def _mapping(self) -> Mapping[str, Any]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.refuse(f"expected an object, not {shown(self.value)}")
        twice = getattr(self.value, "twice", None)
        if twice:
            raise FieldError(_join(self.path, printable(twice[0], 80)), "stands there twice", twice[1])
        return self.value

    def _at(self, mapping: Mapping[str, Any], key: str) -> Cursor:
        line = getattr(mapping, "lines", {}).get(key, self.line)
        return Cursor(mapping.get(key), _join(self.path, printable(key, 80)), line)

    def items(self) -> Iterator[Cursor]:
        """The items of a list, none where it is absent. Raises FieldError."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.refuse(f"expected a list, not {shown(self.value)}")
        if len(self.value) > LIST_LIMIT:
            raise self.refuse(f"more than {LIST_LIMIT:,} items")
        lines = getattr(self.value, "lines", ())
        for index, value in enumerate(self.value):
            yield Cursor(value, f"{self.path}[{index}]", lines[index] if lines else self.line)

    def text(self) -> str:
        """Text. Raises FieldError."""
        if not isinstance(self.value, str):
            raise self.refuse(f"expected text, not {shown(self.value)}{_quote(self.value)}")
        return self.value

    def one_of(self, allowed: Collection[str]) -> str:
        """One of some words. Raises FieldError."""
        text = self.text()
        if text not in allowed:
            raise self.refuse(f"{printable(text, 40)!r} is none of {', '.join(allowed)}")
        return text

    def number(self, low: int, high: int) -> int:
        """A whole number within limits. Raises FieldError."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.refuse(f"expected a number from {low} to {high}, not {shown(self.value)}")
        if not low <= self.value <= high:
            raise self.refuse(f"{str(self.value)[:20]} is not from {low} to {high}")
        return self.value

    def label_key(self) -> str:
        """The key of a label. Raises FieldError."""
        return checked_label_key(self.text(), self)

    def label_value(self) -> str:
        """The value of a label. Raises FieldError."""
        text = self.text()
        if not _LABEL_VALUE.fullmatch(text):
            raise self.refuse(f"{printable(text, 80)!r} can't be the value of a label")
        return text

    def labels(self) -> dict[str, str]:
        """Labels. Raises FieldError."""
        mapping = self._mapping()
        found = {}
        for key in mapping:
            at = self._at(mapping, key)
            found[checked_label_key(key, at)] = at.label_value()
        return found

    def object_name(self) -> str:
        """The name of an object. Raises FieldError."""
        return self._matching(_OBJECT_NAME, 253)

    @property
    def is_namespace_name(self) -> bool:
        """Whether it can be the name of a namespace."""
        return isinstance(self.value, str) and len(self.value) <= 63 and bool(_NAMESPACE.fullmatch(self.value))

    def namespace_name(self) -> str:
        """The name of a namespace. Raises FieldError."""
        return self._matching(_NAMESPACE, 63)

    def _matching(self, form: re.Pattern[str], limit: int) -> str:
        if self.is_empty:
            raise self.refuse("is missing")
        text = self.text()
        if len(text) > limit or not form.fullmatch(text):
            raise self.refuse(f"{printable(text, 80)!r} is no name that Kubernetes takes")
        return text


def checked_label_key(key: object, at: Cursor) -> str:
    """The key if it can be a label's. Raises FieldError."""
    match = _LABEL_KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None or len(match["prefix"] or "") > 253:
        raise at.refuse(f"{printable(key, 80)!r} can't be the key of a label")
    return match.string


def shown(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(printable(value, 40)) if isinstance(value, str) else printable(value, 40)


def _quote(value: object) -> str:
    return "; write it in quotes" if isinstance(value, bool | int | float) else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
