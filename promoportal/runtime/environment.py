"""
Reading the environment: every value typed, every mistake a sentence.

Any variable may be given as a file instead (`NAME_FILE=/run/secrets/name`), so that
secrets can be mounted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping


def amounts(name: str, parts: tuple[str, ...]) -> dict[str, Decimal]:
    """
    Return an amount for each unit, in lower case, from parts such as EUR=5000.

    :raises ImproperlyConfigured: naming the variable and what is wrong with it
    """
    amounts = dict(_amount(name, part) for part in parts)
    if len(amounts) < len(parts):
        msg = f"{name} is {','.join(parts)!r}; each unit may be named once."
        raise ImproperlyConfigured(msg)
    return amounts


def _amount(name: str, part: str) -> tuple[str, Decimal]:
    unit, _, amount = part.partition("=")
    try:
        most = Decimal(amount)
    except InvalidOperation:
        most = Decimal("NaN")
    if not unit or not most.is_finite() or most < 0:
        msg = f"{name} has {part!r}; each entry must be like EUR=5000 or spins=100."
        raise ImproperlyConfigured(msg)
    return unit.casefold(), most


_variables = FileAwareMapping()
_WHOLE = re.compile(r"[0-9]{1,18}")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


def read_file(path: Path) -> None:
    """Take variables not yet set from a `.env` file, if there is one."""
    if path.is_file():
        environ.Env.read_env(path)


def text(name: str, default: str = "") -> str:
    # As it stands: django-environ would take "$ecret" for the name of another variable.
    try:
        return str(_variables.get(name, default)).strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{name}_FILE names a file that cannot be read: {error}."
        raise ImproperlyConfigured(msg) from error


def folder(name: str, default: Path) -> Path:
    """A path, absolute; not set, or set to nothing, is the default."""
    return Path(text(name) or default).resolve()


def flag(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        msg = f"{name} is {value!r}; it must be true or false."
        raise ImproperlyConfigured(msg)
    return value in _TRUE


def number(name: str, default: int, *, least: int = 0, most: int = 1_000_000) -> int:
    value = text(name, str(default))
    if not _WHOLE.fullmatch(value) or not least <= int(value) <= most:
        msg = f"{name} is {value!r:.60}; it must be a whole number, {least} to {most}."
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
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        return known and parts.port != 0 and not re.search(r"[\s?#]", value)
    except ValueError:
        return False


def database(name: str) -> dict[str, Any] | None:
    """Django's settings for the PostgreSQL at this address, or None if it is not set."""
    value = text(name)
    if not value:
        return None
    # Looked at first: of another scheme, what reads it prints the password.
    if not value.startswith(("postgres://", "postgresql://")):
        msg = f"{name} must begin with postgresql://; PostgreSQL is the one database."
        raise ImproperlyConfigured(msg)
    try:
        urlsplit(value)
        found = dict(environ.Env.db_url_config(value))
    except ValueError as error:
        # Nor is its text told, which may hold it.
        msg = f"{name} must be like postgresql://user:password@host:5432/name."
        raise ImproperlyConfigured(msg) from error
    if not found.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database after the host.")
    return found
