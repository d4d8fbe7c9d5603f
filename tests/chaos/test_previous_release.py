"""Tests of the code of the previous release, from the Git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from bench.chaos import previous_release
from bench.chaos.previous_release import NotInClone


def _has_git() -> bool:
    command = ["git", "-C", str(settings.BASE_DIR), "rev-parse", "HEAD"]
    try:
        return not subprocess.run(command, check=False, capture_output=True).returncode
    except FileNotFoundError:
        return False


def test_the_files_of_a_revision_are_written_to_a_folder(tmp_path: Path) -> None:
    if not _has_git():
        pytest.skip("This is not a clone.")
    manage = previous_release.extract("HEAD", tmp_path / "previous")

    assert manage.is_file()
    assert (tmp_path / "previous" / "rewards" / "models").is_dir()


@pytest.mark.parametrize("revision", ["f" * 40, "no-such-branch", "--help"])
def test_a_revision_that_the_clone_lacks_is_named(
    tmp_path: Path, revision: str
) -> None:
    with pytest.raises(NotInClone, match=revision):
        previous_release.extract(revision, tmp_path / "previous")

    assert not (tmp_path / "previous").exists()
