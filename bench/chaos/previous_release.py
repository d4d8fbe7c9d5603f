"""The code of the previous release, from the Git repository."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

_ROOT = Path(__file__).parents[2]


class NotInClone(Exception):
    """The clone does not contain the revision, for example because it is shallow."""


def default_revision() -> str:
    """
    Return the newest tag, or the parent of the current commit.

    :raises NotInClone: if the clone has neither, or if this is not a clone
    """
    for words in (("describe", "--tags", "--abbrev=0"), ("rev-parse", "HEAD~1")):
        done = _git(*words)
        if done.returncode == 0:
            return done.stdout.decode().strip()
    raise NotInClone("The clone has no earlier revision.")


def extract(revision: str, folder: Path) -> Path:
    """
    Write the files of a revision to a folder, and return its `manage.py`.

    :raises NotInClone: if the clone does not contain the revision
    """
    done = _git("archive", "--format=tar", f"{revision}^{{commit}}")
    if done.returncode:
        raise NotInClone(f"The clone does not contain the revision {revision}.")
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder / "manage.py"


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(_ROOT), *words],  # noqa: S607
            check=False,
            capture_output=True,
        )
    except FileNotFoundError as error:
        raise NotInClone("There is no Git on this machine.") from error
