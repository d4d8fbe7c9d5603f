"""Behaviour is composed: our classes hardly inherit from each other."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

PACKAGES = ("executions", "rewards", "redemptions", "promoportal")
# What a server imports to start; they contain no classes.
_ENTRY_POINTS = ("migrations", "wsgi", "gunicorn", "gunicorn_config", "keeper")
MAX_DEPTH = 2


def modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not {*found.name.split(".")}.intersection(_ENTRY_POINTS):
            yield importlib.import_module(found.name)


def classes(package: str) -> set[type]:
    return {
        each
        for module in modules(package)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__
    }


def chain(of: type) -> list[type]:
    """Return a class of ours and the longest chain of its bases that are ours."""
    ours = [base for base in of.__bases__ if _is_ours(base)]
    longest = max((chain(base) for base in ours), key=len, default=[])
    # A proxy is the model that it stands for, under another name.
    is_proxy = getattr(getattr(of, "_meta", None), "proxy", False)
    return longest if is_proxy else [of, *longest]


def _is_ours(of: type) -> bool:
    return of.__module__.partition(".")[0] in PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_class_has_a_base_of_ours_that_has_one_itself(package: str) -> None:
    found = classes(package)

    deep = [each for each in found if len(chain(each)) > MAX_DEPTH]

    assert found
    assert not [" <- ".join(map(str, chain(each))) for each in deep]
