"""The output, errors and exit codes of `make`, `.ci/run` and `manage.py`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.project import tree

LOCKS = ("requirements.lock", "requirements-dev.lock")
COMMANDS = [name for name, app in get_commands().items() if app == "promoportal"]


@dataclass(frozen=True)
class Workspace:
    """A folder with the Makefile and `.ci/run`, and scripts in place of programs."""

    folder: Path

    def program(self, path: str, script: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def run(
        self, *command: str, alone: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """:param alone: with no programs except these scripts"""
        # Without the variables that an outer `make test` sets for its children.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS"))
        }
        system_path = "" if alone else f"{os.pathsep}{os.environ['PATH']}"
        path = f"{self.folder / 'bin'}{system_path}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=inherited | {"PATH": path},
            capture_output=True,
            check=False,
            text=True,
        )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("Makefile", ".ci/run", *LOCKS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(tree.ROOT / name, tmp_path / name)
    return Workspace(tmp_path)


@pytest.fixture
def set_up(workspace: Workspace) -> Workspace:
    """The same folder, already set up."""
    workspace.program(".venv/bin/python", "exit 0")
    workspace.program(".venv/bin/lint-imports", "exit 0")
    (workspace.folder / ".venv/.ready").touch()
    return workspace


def test_make_without_a_target_lists_the_targets(workspace: Workspace) -> None:
    result = workspace.run("make")
    for target in ("setup", "demo", "run", "test", "check", "bench", "chaos", "lock"):
        assert f"make {target} " in result.stdout
    assert not (workspace.folder / ".venv").exists()


def test_an_old_python_is_refused_with_a_sentence(workspace: Workspace) -> None:
    old = workspace.program("old", 'case "$2" in *version_info*) exit 1;; esac')
    result = workspace.run("make", "test", f"PYTHON={old}")
    assert result.returncode
    assert "needs Python 3.11 or newer" in result.stderr


def test_a_python_without_venv_is_refused_with_a_sentence(workspace: Workspace) -> None:
    bare = workspace.program("bare", 'case "$2" in *ensurepip*) exit 1;; esac')
    result = workspace.run("make", "test", f"PYTHON={bare}")
    assert result.returncode
    assert "comes without venv" in result.stderr


def test_setup_runs_again_when_a_lock_changes(set_up: Workspace) -> None:
    assert "Setting up" not in set_up.run("make", "setup").stderr
    newer = (set_up.folder / ".venv/.ready").stat().st_mtime + 10
    os.utime(set_up.folder / "requirements.lock", (newer, newer))
    result = set_up.run("make", "setup")
    assert "Setting up" in result.stderr
    assert "Setting up" not in result.stdout


def test_a_setup_before_a_command_leaves_it_the_last_line(workspace: Workspace) -> None:
    python = 'case "$*" in *manage.py*) echo \'{"drift": 0}\';; *) echo noise;; esac'
    workspace.program(".venv/bin/python", python)
    workspace.program("python", "exit 0")
    result = workspace.run("make", "demo", "ARGS=--exit --json", "PYTHON=./python")
    assert result.stdout == '{"drift": 0}\n'


def test_arguments_reach_the_command(set_up: Workspace) -> None:
    set_up.program(".venv/bin/python", 'for a; do echo "<$a>"; done')
    result = set_up.run("make", "test", "ARGS=-k 'webhook or notice'")
    assert result.stdout.split("\n")[-3:] == ["<-k>", "<webhook or notice>", ""]


def test_check_runs_all_steps_and_reports_the_failed_ones(set_up: Workspace) -> None:
    failing = 'case "$*" in *mypy*|*"ruff check"*) exit 1;; esac'
    set_up.program(".venv/bin/python", failing)
    result = set_up.run("make", "check")
    assert result.returncode
    assert "make check: failed: lint types." in result.stderr
    assert "== deploy" in result.stdout


def test_check_reports_success(set_up: Workspace) -> None:
    result = set_up.run("make", "check")
    assert not result.returncode
    assert result.stdout.splitlines()[-1].startswith("make check: all is well")


@pytest.mark.parametrize("failing", ["", "test", "check", "test check"])
def test_ci_runs_both_targets_and_reports_the_outcome(
    workspace: Workspace, failing: str
) -> None:
    cases = "|".join(failing.split()) or "nothing"
    workspace.program("bin/chromium", "exit 0")
    workspace.program(
        "bin/make", f'echo "$1 runs"; case "$1" in {cases}) exit 1;; esac'
    )
    result = workspace.run(str(workspace.folder / ".ci/run"))
    assert "test runs" in result.stdout
    assert "check runs" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert last.startswith("FAILED:" if failing else "PASSED:")
    assert bool(result.returncode) is bool(failing)
    if failing:
        failed = re.findall(r'"make (\w+)"', last)
        assert failed == failing.split()


@pytest.mark.parametrize("tries", [1, 2])
def test_ci_installs_a_browser_if_there_is_none(
    workspace: Workspace, tries: int
) -> None:
    for name in ("bash", "dirname"):
        workspace.program(f"bin/{name}", f'exec {shutil.which(name)} "$@"')
    workspace.program("bin/make", 'echo "browser needed: $PORTAL_TESTS_NEED_BROWSER"')
    known = "true" if tries == 1 else "test -e updated"
    workspace.program(
        "bin/apt-get", f'echo "$1"; [ $1 = install ] || : >updated; {known}'
    )

    result = workspace.run(str(workspace.folder / ".ci/run"), alone=True)

    calls = re.findall("^(install|update)$", result.stdout, re.MULTILINE)
    assert calls == (["install"] if tries == 1 else ["install", "update", "install"])
    assert "browser needed: 1" in result.stdout


def test_ci_runs_the_commands_of_the_readme() -> None:
    for command in ("make test", "make check"):
        assert f"`{command}`" in tree.say("README.md") or re.search(
            rf"^{command}$", tree.say("README.md"), re.MULTILINE
        )
        assert f'"{command}"' in tree.say(".ci/run")


def test_every_target_named_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", tree.say("Makefile"), re.MULTILINE))
    for page in tree.pages():
        named = set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_a_help_text(name: str) -> None:
    command = load_command_class("promoportal", name)
    assert not list(_without_help(command.create_parser("manage.py", name)))


def _without_help(parser: ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for verb in action.choices.values():
                yield from _without_help(verb)
        elif not action.help:
            yield f"{parser.prog} {action.dest}"


def test_every_hook_uses_the_locked_tools() -> None:
    hooks = tree.say(".pre-commit-config.yaml")
    assert re.findall(r"- repo: (\S+)", hooks) == ["local"]
