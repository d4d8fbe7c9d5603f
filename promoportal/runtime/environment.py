"""
Typed access to environment variables, with an error message for each mistake.

A file can contain the value of any variable (`NAME_FILE=/run/secrets/name`), so that
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
    Return the amounts by unit, in lower case, from parts such as EUR=5000.

    :raises ImproperlyConfigured: with the variable's name and the problem
    """
    amounts = dict(_amount(name, part) for part in parts)
    if len(amounts) < len(parts):
        msg = f"{name} is {','.join(parts)!r}. Use each unit only once."
        raise ImproperlyConfigured(msg)
    return amounts


def _amount(name: str, part: str) -> tuple[str, Decimal]:
    unit, _, amount = part.partition("=")
    try:
        most = Decimal(amount)
    except InvalidOperation:
        most = Decimal("NaN")
    if not unit or not most.is_finite() or most < 0:
        msg = f"{name} contains {part!r}. Use entries such as EUR=5000 or spins=100."
        raise ImproperlyConfigured(msg)
    return unit.casefold(), most


_variables = FileAwareMapping()
_WHOLE = re.compile(r"[0-9]{1,18}")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


def read_file(path: Path) -> None:
    """Read a `.env` file if it exists. Variables that are set keep their values."""
    if path.is_file():
        environ.Env.read_env(path)


def text(name: str, default: str = "") -> str:
    # Read without django-environ, which takes "$ecret" for another variable's name.
    try:
        return str(_variables.get(name, default)).strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{name}_FILE points to a file that cannot be read: {error}."
        raise ImproperlyConfigured(msg) from error


def folder(name: str, default: Path) -> Path:
    """Return an absolute path: the default if the variable is not set, or is empty."""
    return Path(text(name) or default).resolve()


def flag(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to true or false.")
    return value in _TRUE


def number(name: str, default: int, *, least: int = 0, most: int = 1_000_000) -> int:
    value = text(name, str(default))
    if not _WHOLE.fullmatch(value) or not least <= int(value) <= most:
        msg = f"{name} is {value!r:.60}. Use a whole number from {least} to {most}."
        raise ImproperlyConfigured(msg)
    return int(value)


def choice(name: str, default: str, choices: Iterable[str]) -> str:
    allowed = list(choices)
    value = text(name, default)
    if value not in allowed:
        msg = f"{name} is {value!r}. Use one of: {', '.join(allowed)}."
        raise ImproperlyConfigured(msg)
    return value


def names(name: str, default: str = "") -> list[str]:
    """Return the entries of a comma-separated list, without empty ones."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def address(name: str, default: str = "") -> str:
    """Return an http(s) URL without a trailing slash, or "" if it is not set."""
    value = text(name, default).rstrip("/")
    if value and not _is_address(value):
        msg = f"{name} is {value!r}. Set it to an address such as https://host/path."
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
    """Return Django's settings for a PostgreSQL URL, or None if it is not set."""
    value = text(name)
    if not value:
        return None
    # Checked first: for another scheme, django-environ's error shows the password.
    if not value.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(
            f"{name} must start with postgresql://. Other databases are not supported."
        )
    try:
        urlsplit(value)
        found = dict(environ.Env.db_url_config(value))
    except ValueError as error:
        # The error's text is left out: it may contain the password.
        msg = f"{name} must have the form postgresql://user:password@host:5432/name."
        raise ImproperlyConfigured(msg) from error
    if not found.get("NAME"):
        raise ImproperlyConfigured(
            f"{name} has no database name after the host, as in "
            "postgresql://host:5432/name."
        )
    return found
