"""The output, errors and exit codes of `make`, `.ci/run` and `manage.py`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.core.management import get_commands, load_command_class

from tests.project import tree

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-forward.lock")
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
        self, *command: str, alone: bool = False, settings: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in the folder.

        :param alone: with no programs except these scripts
        :param settings: environment variables
        """
        # Without the variables that an outer `make test ARGS=...` sets for its children.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "ARGS"))
        }
        system_path = "" if alone else f"{os.pathsep}{os.environ['PATH']}"
        path = f"{self.folder / 'bin'}{system_path}"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=inherited | {"PATH": path} | dict(settings),
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
    said = workspace.run("make")
    targets = (
        "setup",
        "demo",
        "run",
        "test",
        "check",
        "bench",
        "chaos",
        "guards",
        "lock",
    )
    for target in (*targets, "forward"):
        assert f"make {target} " in said.stdout
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


# --- Locks ----------------------------------------------------------------------------


def _wheel(folder: Path, version: str) -> Path:
    """Write the smallest wheel of a package called `theirs`."""
    folder.mkdir(parents=True)
    path = folder / f"theirs-{version}-py3-none-any.whl"
    about = f"theirs-{version}.dist-info"
    with ZipFile(path, "w") as wheel:
        named = f"Metadata-Version: 2.1\nName: theirs\nVersion: {version}\n"
        wheel.writestr(f"{about}/METADATA", named)
        tagged = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tagged)
        wheel.writestr(f"{about}/RECORD", "")
    return path


def _index(folder: Path, version: str) -> str:
    """Serve one version from an index in a folder, and return the address of it."""
    wheel = _wheel(folder / "theirs", version)
    page = f'<a href="{wheel.name}">{wheel.name}</a>'
    (wheel.parent / "index.html").write_text(page)
    return folder.as_uri()


@pytest.fixture
def locking(set_up: Workspace) -> Workspace:
    """The same, with uv, and with a project that needs one package."""
    set_up.program(".venv/bin/python", f'exec {sys.executable} "$@"')
    (set_up.folder / "pyproject.toml").write_text(
        '[project]\nname = "ours"\nversion = "1"\ndependencies = ["theirs"]\n'
        '[dependency-groups]\ndev = ["theirs"]\n'
    )
    for lock in LOCKS:
        (set_up.folder / lock).write_text("")
    (set_up.folder / ".venv/.ready").touch()
    return set_up


def test_a_lock_has_only_what_the_default_index_has(locking: Workspace) -> None:
    default = _index(locking.folder / "default", "2.0")
    newer = _index(locking.folder / "newer", "3.0")
    newest = _index(locking.folder / "newest", "4.0")
    found = str(_wheel(locking.folder / "found", "5.0").parent)
    settings = {
        "UV_DEFAULT_INDEX": default,
        "UV_INDEX": newer,
        "UV_EXTRA_INDEX_URL": newest,
        "UV_FIND_LINKS": found,
    }

    said = locking.run("make", "lock", settings=settings)

    assert not said.returncode, said.stderr
    _assert_locked(locking, "theirs==2.0 \\")


@pytest.mark.parametrize("named", ["", "ours.toml"])
def test_a_lock_does_not_tell_where_packages_came_from(
    locking: Workspace, named: str
) -> None:
    default = _index(locking.folder / "default", "2.0")
    extra = _index(locking.folder / "extra", "3.0")
    parts = ("index-url", "find-links", "index-annotation", "build-options")
    emitted = "".join(f"emit-{part} = true\n" for part in parts)
    config = (
        f'[pip]\n{emitted}only-binary = ["theirs"]\nindex = [{{url = "{extra}"}}]\n'
    )
    (locking.folder / (named or "uv.toml")).write_text(config)
    settings = {"UV_DEFAULT_INDEX": default}
    settings |= {"UV_CONFIG_FILE": named} if named else {}

    said = locking.run("make", "lock", settings=settings)

    assert not said.returncode, said.stderr
    _assert_locked(locking, "theirs==2.0 \\")


def _assert_locked(workspace: Workspace, expected: str) -> None:
    for lock in LOCKS:
        first, *others = (workspace.folder / lock).read_text().splitlines()
        assert first == expected
        assert all(tree.LOCK_LINE.fullmatch(line) for line in others), others


# --- The next versions ----------------------------------------------------------------


def _python(version: str) -> str:
    """Return a stand-in that has this version, and makes a venv of itself."""
    return (
        f'case "$2" in *"(3, 13)"*) exit {int(version != "3.13")};; esac\n'
        'case "$*" in *"-m venv"*) for folder; do :; done; mkdir -p $folder/bin;'
        ' cp "$0" $folder/bin/python;; esac\n'
        f'echo "{version}: $*"'
    )


def test_the_next_versions_have_a_venv_and_a_lock_of_their_own(
    workspace: Workspace,
) -> None:
    python = workspace.program("new", _python("3.13"))
    said = workspace.run("make", "forward", f"PYTHON313={python}", "ARGS=-k 'a or b'")
    assert said.stdout == "3.13: -m pytest --numprocesses auto -k a or b\n"
    assert "--requirement requirements-forward.lock" in said.stderr
    assert (workspace.folder / ".venv-forward/.ready").exists()
    assert not (workspace.folder / ".venv").exists()


def test_the_next_versions_take_the_python_they_are_given(workspace: Workspace) -> None:
    workspace.program("bin/python3.13", _python("3.13"))
    given = workspace.program("given", _python("3.13"))
    said = workspace.run("make", "python313", f"PYTHON313={given}")
    assert said.stdout == f"{given}\n"


@pytest.mark.parametrize("stand_in", [_python("3.12"), "exit 127"])
def test_a_python313_that_does_not_start_is_passed_over(
    workspace: Workspace, stand_in: str
) -> None:
    workspace.program("bin/python3.13", stand_in)
    pyenvs = workspace.program("pyenv/versions/3.13.9/bin/python3.13", _python("3.13"))
    settings = {"PYENV_ROOT": str(workspace.folder / "pyenv")}
    said = workspace.run("make", "python313", settings=settings)
    assert said.stdout == f"{pyenvs}\n"


@pytest.mark.parametrize("version", ["3.12", "3.14"])
def test_without_a_python313_a_sentence_says_what_to_set(
    workspace: Workspace, version: str
) -> None:
    other = workspace.program("other", _python(version))
    said = workspace.run("make", "forward", f"PYTHON313={other}")
    assert said.returncode
    sentence, *_ = said.stderr.splitlines()
    assert sentence.endswith("none was found: set PYTHON313=/path/to/python3.13.")
    assert not (workspace.folder / ".venv-forward").exists()


# --- CI -------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["", "test", "check", "test check", "forward"])
def test_ci_runs_all_targets_and_reports_the_outcome(
    workspace: Workspace, failing: str
) -> None:
    cases = "|".join(failing.split()) or "nothing"
    workspace.program("bin/chromium", "exit 0")
    workspace.program(
        "bin/make", f'echo "$1 runs"; case "$1" in {cases}) exit 1;; esac'
    )
    said = workspace.run(str(workspace.folder / ".ci/run"))
    assert "test runs" in said.stdout
    assert "check runs" in said.stdout
    assert "forward runs" in said.stdout
    last = said.stdout.splitlines()[-1]
    assert last.startswith("FAILED:" if failing else "PASSED:")
    assert bool(said.returncode) is bool(failing)
    if failing:
        failed = re.findall(r'"make (\w+)', last)
        assert failed == failing.split()


def test_ci_leaves_the_next_versions_out_without_their_python(
    workspace: Workspace,
) -> None:
    workspace.program("bin/chromium", "exit 0")
    workspace.program("bin/make", 'echo "$1 runs"; test "$1" != python313')
    said = workspace.run(str(workspace.folder / ".ci/run"))
    assert not said.returncode
    assert "forward runs" not in said.stdout
    assert said.stdout.splitlines()[-1].endswith("no Python 3.13 for make forward")


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
