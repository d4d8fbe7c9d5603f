"""The modules of the product: their names, their sizes and their imports."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.project import modules

# What Django and Python look for by name.
_GIVEN = {
    *("__init__", "__main__", "admin", "apps", "models", "signals", "tasks", "urls"),
}
# Those of two apps that do the same for their own rows, and may be looked for in both.
_TWINS = {"decisions", "in_doubt", "listeners", "reporting"}
# Old names that a process from before an upgrade may still use.
_FOR_ONE_RELEASE = {"keeper"}
_ACTIVITIES = {"formatting", "reporting", "rounding"}
MAX_LINES = 460
# These are public in spite of their underscore.
_PUBLIC = {
    *("_meta", "_base_manager", "_default_manager", "_state", "_nodb_cursor"),  # Django
    *("_asdict", "_fields", "_replace", "_exit", "_current_frames"),  # Python
}


def test_no_two_modules_have_one_base_name() -> None:
    counted = Counter(module.base_name for module in modules.product().values())
    twice = {name for name, count in counted.items() if count > 1}
    assert twice - _GIVEN == _TWINS | _FOR_ONE_RELEASE


def test_modules_are_named_after_nouns() -> None:
    assert {
        module.base_name
        for module in modules.product().values()
        if module.base_name.endswith("ing") and not module.name.startswith("bench.")
    } == _ACTIVITIES


def test_a_module_fits_on_a_few_screens() -> None:
    assert not {
        module.name: lines
        for module in modules.product().values()
        if (lines := len(module.source.splitlines())) > MAX_LINES
    }


# --- Circles --------------------------------------------------------------------------


def _circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Return modules of which each imports the next, the last one the first; if any."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules.product()
    imports = {
        name: {*modules.imported(module.syntax, known)} - {name}
        for name, module in known.items()
    }
    assert sum(map(len, imports.values())) > 1_000
    assert not _circle(imports)


@pytest.mark.parametrize(
    "source",
    ["import a.b", "from a import b", "from a.b import x", "def f():\n  import a.b"],
)
def test_an_import_is_seen_wherever_it_stands(source: str) -> None:
    known = {"a.b": None}
    assert [*modules.imported(ast.parse(source), known)] == ["a.b"]


def test_a_circle_is_seen_however_long() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not _circle({"a": {"b"}, "b": {"c"}, "d": {"a"}})


# --- Private names --------------------------------------------------------------------


def _private_of_others(module: ast.Module) -> Iterator[str]:
    """Yield the names with a leading underscore that the module uses and another has."""
    own = {*modules.defined(module)} | _PUBLIC
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.Attribute) and not _is_own(node.value):
            names = [node.attr]
        else:
            continue
        yield from (name for name in names if _is_private(name) and name not in own)


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_a_private_name_stays_in_its_module() -> None:
    assert not {
        name: used
        for name, module in modules.product().items()
        if (used := [*_private_of_others(module.syntax)])
    }


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("from rewards.limits import _figures", ["_figures"]),
        ("from rewards import limits\nlimits._figures()", ["_figures"]),
        ("def f(row):\n  return row.page._shown", ["_shown"]),
        ("super()._shown()", ["_shown"]),
        ("self._shown = 1\nother._shown", []),
        ("self._of_a_base_class()", []),
        ("from __future__ import annotations", []),
        ("row._meta.pk", []),
    ],
)
def test_a_private_name_of_another_module_is_seen(source: str, used: list[str]) -> None:
    assert [*_private_of_others(ast.parse(source))] == used
