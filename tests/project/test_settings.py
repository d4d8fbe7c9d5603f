"""`.env.example` agrees with the code that reads the environment."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.project import tree

READERS = {"address", "choice", "database", "flag", "folder", "names", "number", "text"}
# Defaults for development that settings.py computes; .env.example has them as text.
COMPUTED = {
    "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
    "EMBEDDED_DATABASE": "true",
    "OPTIMOVE_API_URL": "http://127.0.0.1:8100/optimove",
    "OPTIMOVE_PROMOTIONS_URL": "http://127.0.0.1:8100/promotions",
    "PLATFORM_URL": "http://127.0.0.1:8100/platform",
    "PORTAL_HOME": "",
}
_LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Variable:
    name: str
    default: str


def read_by(path: str) -> Iterator[Variable]:
    """Yield the variables that a module reads, in order."""
    found = ast.walk(ast.parse(tree.say(path)))
    calls = [node for node in found if isinstance(node, ast.Call) and _reads(node)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = call.args[0]
        assert isinstance(name, ast.Constant), f"{path}: a variable's name is computed"
        computed = COMPUTED.get(str(name.value))
        default = _default(call) if computed is None else computed
        yield Variable(str(name.value), default)


def _reads(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "environment"
        and call.func.attr in READERS
    )


def _default(call: ast.Call) -> str:
    defaults = [
        *call.args[1:2],
        *(k.value for k in call.keywords if k.arg == "default"),
    ]
    if not defaults:
        return ""
    # `... if DEBUG else ""`: the default for development.
    value = defaults[0].body if isinstance(defaults[0], ast.IfExp) else defaults[0]
    assert isinstance(value, ast.Constant), f"add {ast.unparse(call)} to COMPUTED"
    default = value.value
    return str(default).lower() if isinstance(default, bool) else str(default)


def all_read() -> list[Variable]:
    """Return the variables of the settings, then those of other modules."""
    others = sorted(
        str(path.relative_to(tree.ROOT))
        for path in tree.files()
        if path.suffix == ".py" and path.parts[len(tree.ROOT.parts)] == "promoportal"
    )
    settings = "promoportal/settings.py"
    paths = [settings, *(path for path in others if path != settings)]
    return [variable for path in paths for variable in read_by(path)]


def exemplified() -> list[Variable]:
    return [
        Variable(name, value) for name, value in _LINE.findall(tree.say(".env.example"))
    ]


def test_every_variable_is_described_in_the_order_in_which_it_is_read() -> None:
    assert [v.name for v in exemplified()] == [v.name for v in all_read()]


def test_every_default_is_the_one_for_development() -> None:
    assert exemplified() == all_read()


def test_every_variable_has_a_sentence() -> None:
    lines = tree.say(".env.example").splitlines()
    for before, line in pairwise(lines):
        if _LINE.match(line):
            assert before.startswith("# "), f"{line} has no sentence"
            assert before.endswith((".", ")")), f"{line}: {before} is no whole sentence"


def test_nothing_else_reads_the_environment() -> None:
    pattern = re.compile(r"os\.environ(?:\.get)?[\[(]\s*[\"']([A-Z_]+)[\"']")
    # For the portal's own processes, django-q2 and Python: users do not set these.
    described = {variable.name for variable in exemplified()}
    internal = {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "Q_CLUSTER_NAME"}
    for name, text in tree.texts():
        if name.endswith(".py") and not name.startswith("tests/"):
            assert not set(pattern.findall(text)) - internal - described, name


def test_the_example_values_are_the_defaults() -> None:
    assert settings_in(dict(_LINE.findall(tree.say(".env.example")))) == settings_in({})


def settings_in(variables: dict[str, str]) -> str:
    """Return all settings as Django has them in this environment."""
    done = subprocess.run(
        [sys.executable, "manage.py", "diffsettings", "--all"],
        cwd=tree.ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
