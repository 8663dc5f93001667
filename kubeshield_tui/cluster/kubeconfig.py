"""Read kubeconfigs for what they offer: contexts and servers. Credentials are left to the client library.

Reads local files only and loads no Kubernetes library: the first screen needs it.
Merging follows kubectl: in a list of files the first one that names something wins.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from kubeshield_tui.errors import SettingsError
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.text import printable

RANGE_EXTENSION = "kubeshield.io/range"
"""Extension of a cluster entry that only the training range writes: the address that its API is shown at."""


Body = dict[str, Any]


class ContextEntry(Record, frozen=True):
    """A context with the cluster that it names."""

    name: str
    cluster: str
    server: str
    user: str = ""
    namespace: str = ""
    plugin: str = ""
    """Command of an exec credential plugin, empty where there is none."""
    shown_address: str = ""
    simulated: str = ""


class Kubeconfig(Record, frozen=True):
    """All contexts of one or several kubeconfig files."""

    current: str
    contexts: tuple[ContextEntry, ...]
    files: tuple[Path, ...]

    def context(self, name: str) -> ContextEntry:
        """Return a context. Raises SettingsError with the nearest name."""
        for entry in self.contexts:
            if entry.name == name:
                return entry
        where = ", ".join(str(path) for path in self.files)
        if not name:
            raise SettingsError(f"{where}: no current-context", "Name one with --context")
        near = difflib.get_close_matches(name, [entry.name for entry in self.contexts], 1)
        known = ", ".join(entry.name for entry in self.contexts[:8])
        hint = f"Did you mean {near[0]}?" if near else f"Contexts there: {known or 'none'}"
        raise SettingsError(f"context {printable(name, 80)!r} is not in {where}", hint)


def kubeconfig_paths(path: Path | None) -> tuple[Path, ...]:
    """Files that kubectl would read."""
    if path is not None:
        return (path,)
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return tuple(listed) or (Path.home() / ".kube" / "config",)


def read_kubeconfig(path: Path | None) -> Kubeconfig:
    """Read the kubeconfig at `path`, or those of $KUBECONFIG, or ~/.kube/config.

    Raises SettingsError naming the file and what is wrong with it.
    """
    paths = kubeconfig_paths(path)
    present = [each for each in paths if each.is_file()]
    if not present:
        raise SettingsError(
            f"no kubeconfig at {', '.join(str(each) for each in paths)}",
            "Name one with --kubeconfig or $KUBECONFIG, or try `kubeshield demo`",
        )
    documents = [(each, _load(each)) for each in present]
    clusters = _named(documents, "clusters", "cluster")
    users = _named(documents, "users", "user")
    contexts = _named(documents, "contexts", "context")
    current = next((str(text["current-context"]) for _, text in documents if text.get("current-context")), "")
    entries = tuple(_entry(name, body, clusters, users) for name, (_, body) in contexts.items())
    return Kubeconfig(current=current, contexts=entries, files=tuple(present))


def _load(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}", "Check its permissions") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not a text file ({error.reason})", "A kubeconfig is YAML") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = printable(getattr(error, "problem", "") or "not YAML", 200)
        raise SettingsError(f"{path}{where}: {problem}", "A kubeconfig is YAML, without tabs") from error
    if text is None:
        return {}
    if not isinstance(text, dict):
        raise SettingsError(f"{path}: expected a mapping, found {type(text).__name__}", "Is it a kubeconfig?")
    return text


def _named(documents: list[tuple[Path, dict[str, Any]]], field: str, kind: str) -> dict[str, tuple[Path, Body]]:
    found: dict[str, tuple[Path, Body]] = {}
    for path, text in documents:
        items = text.get(field) or []
        if not isinstance(items, list):
            raise SettingsError(
                f"{path}: {field}: expected a list, found {type(items).__name__}", "Is it a kubeconfig?"
            )
        for number, item in enumerate(items):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                raise SettingsError(f"{path}: {field}[{number}]: expected a mapping with a name", f"Name the {kind}")
            body = item.get(kind) or {}
            if not isinstance(body, dict):
                raise SettingsError(f"{path}: {field}[{number}].{kind}: expected a mapping", f"Check {item['name']}")
            found.setdefault(item["name"], (path, body))
    return found


def _entry(
    name: str,
    body: dict[str, Any],
    clusters: dict[str, tuple[Path, Body]],
    users: dict[str, tuple[Path, Body]],
) -> ContextEntry:
    cluster = str(body.get("cluster") or "")
    _, settings = clusters.get(cluster, (Path(), {}))
    user = str(body.get("user") or "")
    _, credentials = users.get(user, (Path(), {}))
    plugin = credentials.get("exec")
    extension = _range_extension(settings)
    return ContextEntry(
        name=printable(name, 253),
        cluster=printable(cluster, 253),
        server=printable(settings.get("server") or "", 300),
        user=printable(user, 253),
        namespace=printable(body.get("namespace") or "", 63),
        plugin=printable(plugin.get("command") or "", 200) if isinstance(plugin, dict) else "",
        shown_address=printable(extension.get("address") or "", 300),
        simulated=printable(extension.get("simulated") or "", 300),
    )


def _range_extension(settings: dict[str, Any]) -> dict[str, Any]:
    for item in settings.get("extensions") or ():
        if isinstance(item, dict) and item.get("name") == RANGE_EXTENSION and isinstance(item.get("extension"), dict):
            extension: dict[str, Any] = item["extension"]
            return extension
    return {}
