"""
Names that other systems, stored rows and running processes rely on.

`python -m tests.project.fixed_names` writes `fixed_names.json` again. Names may be added
to it; a name that disappears breaks something that was deployed before.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from tests.project import tree

FILE = "tests/project/fixed_names.json"
APPS = ("executions", "rewards", "redemptions", "promoportal")
_ADAPTERS = ("Capability", "HttpPlatform", "Order", "Platform", "Receipt", "Reward")


def recorded() -> dict[str, list[str]]:
    return dict(json.loads(tree.say(FILE)))


def current() -> dict[str, list[str]]:
    """Return the names that the code has now, by kind."""
    kinds = {
        "columns": _columns(),
        "values": _values(),
        "constraints and indexes": _constraints_and_indexes(),
        "related names": _related_names(),
        "permissions": _permissions(),
        "roles": _roles(),
        "addresses": _addresses(),
        "query parameters": _query_parameters(),
        "actions": _actions(),
        "audit log": _audit_kinds(),
        "commands": _commands(),
        "make targets": iter(
            re.findall(r"^([a-z]+):.*## ", tree.say("Makefile"), re.MULTILINE)
        ),
        "environment": iter(
            re.findall(r"^#?([A-Z_]+)=", tree.say(".env.example"), re.MULTILINE)
        ),
        "tasks": _tasks(),
        "queues and channels": _queues(),
        "dotted paths": _dotted_paths(),
        "crash points": _crash_points(),
        "checks": iter(
            re.findall(r'"(promoportal\.[EW]\d+)"', tree.say("promoportal/checks.py"))
        ),
    }
    return {kind: sorted(set(names)) for kind, names in kinds.items()}


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _models() -> Iterator[Any]:
    for model in _module("django.apps").apps.get_models():
        if model._meta.app_label in APPS:
            yield model


def _columns() -> Iterator[str]:
    for model in _models():
        for field in model._meta.local_fields:
            yield f"{model._meta.label}: {model._meta.db_table}.{field.column}"


def _values() -> Iterator[str]:
    for model in _models():
        for field in model._meta.local_fields:
            for value, _ in field.flatchoices:
                yield f"{model._meta.label}.{field.name}: {value}"


def _constraints_and_indexes() -> Iterator[str]:
    for model in _models():
        for entry in (*model._meta.constraints, *model._meta.indexes):
            yield f"{model._meta.label}: {entry.name}"


def _related_names() -> Iterator[str]:
    for model in _models():
        for relation in model._meta.related_objects:
            yield f"{model._meta.label}.{relation.get_accessor_name()}"


def _permissions() -> Iterator[str]:
    for model in _models():
        for codename, _ in model._meta.permissions:
            yield f"{model._meta.app_label}.{codename}"


def _roles() -> Iterator[str]:
    for role in _module("promoportal.admin.roles").Role:
        yield str(role)


def _addresses() -> Iterator[str]:
    def under(prefix: str, patterns: Any) -> Iterator[str]:
        for pattern in patterns:
            whole = f"{prefix}{pattern.pattern}"
            if hasattr(pattern, "url_patterns"):
                yield from under(whole, pattern.url_patterns)
            else:
                yield f"{whole} {pattern.name or ''}".strip()

    yield from under("", _module("promoportal.urls").urlpatterns)


def _query_parameters() -> Iterator[str]:
    site = _module("django.contrib.admin").site
    for model, page in site._registry.items():
        for entry in page.list_filter:
            listed = entry[0] if isinstance(entry, tuple) else entry
            if name := _parameter(listed):
                yield f"{model._meta.label}: {name}"
    # The parameters of the date filter and of paging.
    keyset = _module("promoportal.admin.keyset_pagination")
    yield from (
        *_module("promoportal.admin.date_filter")._NAMES,
        keyset.OLDER,
        keyset.NEWER,
    )


def _parameter(listed: Any) -> str:
    """Return a filter's parameter in the URL, or "" if it has several."""
    if isinstance(listed, str):
        return listed
    return getattr(listed, "parameter_name", None) or ""


def _actions() -> Iterator[str]:
    for model, page in _module("django.contrib.admin").site._registry.items():
        for action in getattr(page, "offered", ()):
            yield f"{model._meta.label}: {action.name}"


def _audit_kinds() -> Iterator[str]:
    for kind in _module("promoportal.admin.audit_log").AuditKind:
        yield f"{kind.name} {kind.value}"


def _commands() -> Iterator[str]:
    management = _module("django.core.management")
    for name, app in management.get_commands().items():
        if app == "promoportal":
            parser = management.load_command_class(app, name).create_parser("", name)
            for option in re.findall(r"--[a-z][a-z-]+", parser.format_help()):
                yield f"{name} {option}"


def _tasks() -> Iterator[str]:
    for app in APPS[:3]:
        module = _module(f"{app}.tasks")
        for name, task in inspect.getmembers(module, inspect.isfunction):
            if task.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{app}.tasks.{name}({', '.join(inspect.signature(task).parameters)})"


def _queues() -> Iterator[str]:
    settings = _module("django.conf").settings
    yield f"name {settings.Q_CLUSTER['name']}"
    for queue in _module("promoportal.jobs").QUEUES:
        yield f"channel {_module('promoportal.jobs.broker').PortalBroker(queue)._channel}"


def _dotted_paths() -> Iterator[str]:
    """Yield the names that an environment or an adapter outside the project contains."""
    for name in ("promoportal.settings", "promoportal.wsgi.application"):
        if importlib.util.find_spec(name.removesuffix(".application")):
            yield name
    platforms, wire = _module("promoportal.platforms"), _module("promoportal.wire")
    yield from (
        f"promoportal.platforms.{x}" for x in _ADAPTERS if hasattr(platforms, x)
    )
    yield from (f"promoportal.wire.{name}" for name in wire.__all__)


def _crash_points() -> Iterator[str]:
    for point in _module("promoportal.runtime.crash_points").Point:
        yield str(point)


def write() -> None:
    text = json.dumps(current(), indent=1, ensure_ascii=False)
    (tree.ROOT / FILE).write_text(f"{text}\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    _module("django").setup()
    write()
