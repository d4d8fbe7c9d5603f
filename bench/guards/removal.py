"""Removal of guards in a copy of the project, and the tests that run on the copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.guards.guard_list import Guard

ROOT = Path(__file__).parents[2]
# Exit codes of pytest: all tests passed; some failed. Others mean that none could run.
_PASSED, _FAILED = 0, 1
_FIRST_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Removal:
    """The result of the removal of one guard."""

    guard: Guard
    detected_by: str = ""
    problem: str = ""
    seconds: float = 0

    @property
    def is_detected(self) -> bool:
        return bool(self.detected_by)


class Copy:
    """A copy of the project's files, with its own embedded database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._edits = 0
        for name in _files():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)

    def failing_test(self, tests: Sequence[str]) -> str:
        """
        Run these tests; return the first test that fails, or "" if all pass.

        :raises RuntimeError: with pytest's output, if the tests could not run
        """
        command = [sys.executable, "-m", "pytest", "-n0", "-x", "-q", *tests]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", "-p", "no:randomly"],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (_PASSED, _FAILED):
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-1000:])
        found = _FIRST_FAILED.search(done.stdout)
        return found[1] if found and done.returncode == _FAILED else ""

    def try_without(self, guard: Guard) -> Removal:
        """Remove the guard, run its tests, and put the guard back."""
        path = self.folder / guard.file
        text, began = path.read_text(encoding="utf-8"), time.monotonic()
        try:
            self._write(path, guard.remove_from(text))
            _check_names(path)
            detected_by = self.failing_test(guard.tests)
        except (ValueError, RuntimeError) as error:
            return Removal(guard, problem=str(error))
        finally:
            self._write(path, text)
        return Removal(guard, detected_by, seconds=time.monotonic() - began)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Python recognises a changed file by its size and its time in whole seconds.
        self._edits += 1
        changed_at = time.time() + 2 * self._edits
        os.utime(path, (changed_at, changed_at))


def _files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True)
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def _environment() -> dict[str, str]:
    # The copy must not use the database or the settings of this project.
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "PORTAL_HOME", "DJANGO_SETTINGS_MODULE"}
    }


def _check_names(path: Path) -> None:
    """Raise ValueError if the edit left an undefined name: every test would fail."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "E9,F821", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"The file without the guard is invalid. {done.stdout[:500]}")
