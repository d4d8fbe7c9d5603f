"""
Reading the environment: every value typed, every mistake a sentence.

Any variable may be given as a file instead (`NAME_FILE=/run/secrets/name`), so that
secrets can be mounted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_env = environ.FileAwareEnv()
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


def read_file(path: Path) -> None:
    """Take variables not yet set from a `.env` file, if there is one."""
    if path.is_file():
        environ.Env.read_env(path)


def text(name: str, default: str = "") -> str:
    return str(_env.str(name, default=default)).strip()


def flag(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        msg = f"{name} is {value!r}; it must be true or false."
        raise ImproperlyConfigured(msg)
    return value in _TRUE


def number(name: str, default: int, *, least: int = 0) -> int:
    value = text(name, str(default))
    if not value.isdecimal() or int(value) < least:
        msg = f"{name} is {value!r}; it must be a whole number of at least {least}."
        raise ImproperlyConfigured(msg)
    return int(value)


def choice(name: str, default: str, choices: Iterable[str]) -> str:
    allowed = list(choices)
    value = text(name, default)
    if value not in allowed:
        msg = f"{name} is {value!r}; it must be one of {', '.join(allowed)}."
        raise ImproperlyConfigured(msg)
    return value


def names(name: str, default: str = "") -> list[str]:
    """A comma-separated list, without empty entries."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def address(name: str, default: str = "") -> str:
    """An http(s) address without a trailing slash, or nothing."""
    value = text(name, default).rstrip("/")
    if value and not _is_address(value):
        msg = f"{name} is {value!r}; it must be an address such as https://host/path."
        raise ImproperlyConfigured(msg)
    return value


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def database(name: str) -> dict[str, object] | None:
    """Django's settings for the PostgreSQL at this address, or None if it is not set."""
    value = text(name)
    if not value:
        return None
    if urlsplit(value).scheme not in {"postgres", "postgresql"}:
        msg = f"{name} must begin with postgresql://; PostgreSQL is the one database."
        raise ImproperlyConfigured(msg)
    return dict(environ.Env.db_url_config(value))
