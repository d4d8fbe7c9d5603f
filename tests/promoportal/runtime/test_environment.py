"""Environment variables: typed values, and mistakes as sentences with their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from promoportal.runtime import environment


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def put(value: str) -> None:
        monkeypatch.setenv("PROMO_NAME", value)

    return put


def flag(default: bool) -> Callable[[], Any]:
    return lambda: environment.flag("PROMO_NAME", default=default)


def number() -> int:
    return environment.number("PROMO_NAME", 5, least=1)


def choice() -> str:
    return environment.choice("PROMO_NAME", "auto", ["auto", "off"])


def address() -> str:
    return environment.address("PROMO_NAME", "http://127.0.0.1")


def database() -> object:
    return environment.database("PROMO_NAME")


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        pytest.param(flag(False), "TRUE", True, id="true"),
        pytest.param(flag(True), " off ", False, id="off"),
        pytest.param(flag(True), "", False, id="an empty flag"),
        pytest.param(number, " 12 ", 12, id="a number"),
        pytest.param(number, "0012", 12, id="a number with zeros"),
        pytest.param(choice, "off", "off", id="a choice"),
        pytest.param(address, "https://h/p/", "https://h/p", id="a last slash"),
        pytest.param(address, "http://[::1]:8100", "http://[::1]:8100", id="IPv6"),
        pytest.param(address, "", "", id="no address"),
        pytest.param(database, "", None, id="no database"),
    ],
)
def test_a_value_is_read(
    put: Callable[[str], None], read: Callable[[], object], value: str, found: object
) -> None:
    put(value)

    assert read() == found


@pytest.mark.parametrize(
    ("read", "value"),
    [
        pytest.param(flag(True), "maybe", id="a flag"),
        pytest.param(number, "", id="no number"),
        pytest.param(number, "0", id="too small"),
        pytest.param(number, "-5", id="negative"),
        pytest.param(number, "1.5", id="a fraction"),
        pytest.param(number, "1e3", id="with an exponent"),
        pytest.param(number, "١٢", id="other digits"),
        pytest.param(number, "99999999", id="too large"),
        pytest.param(number, "9" * 9000, id="far too large"),
        pytest.param(choice, "sometimes", id="a choice"),
        pytest.param(choice, "AUTO", id="a choice in capitals"),
        pytest.param(address, "host/path", id="an address without scheme"),
        pytest.param(address, "ftp://host", id="an address of another kind"),
        pytest.param(address, "https://", id="an address without host"),
        pytest.param(address, "https://host:port", id="a port that is none"),
        pytest.param(address, "https://host:99999", id="a port past any"),
        pytest.param(address, "https://ho st/", id="an address with a space"),
        pytest.param(address, "https://[::1", id="half an address"),
        pytest.param(address, "https://host/?key=1", id="an address with a query"),
        pytest.param(database, "mysql://u:p@host/portal", id="another database"),
        pytest.param(database, "sqlite:///db.sqlite3", id="a file"),
        pytest.param(database, "host=127.0.0.1 dbname=portal", id="another notation"),
        pytest.param(database, "postgresql://u:p@host:port/portal", id="no port"),
        pytest.param(database, "postgresql://u:p@[host/portal", id="half a host"),
        pytest.param(database, "postgresql://u:p@host", id="no name"),
        pytest.param(database, "postgresql://u:p@host/", id="an empty name"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_variable(
    put: Callable[[str], None], read: Callable[[], object], value: str
) -> None:
    put(value)

    with pytest.raises(ImproperlyConfigured) as caught:
        read()

    assert str(caught.value).startswith("PROMO_NAME ")
    assert str(caught.value).endswith(".")
    assert "u:p@" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["$ecret", "$PROMO_NAME", "$$", r"\$x", "a#b", "'q'"])
def test_a_secret_is_taken_literally(put: Callable[[str], None], value: str) -> None:
    put(value)

    assert environment.text("PROMO_NAME") == value


def test_a_secret_can_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = tmp_path / "secret"
    mounted.write_text("$ecret\n")
    monkeypatch.setenv("PROMO_MOUNTED_FILE", str(mounted))

    assert environment.text("PROMO_MOUNTED") == "$ecret"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    mounted = tmp_path / "secret"
    if content is not None:
        mounted.write_bytes(content)
    monkeypatch.setenv("PROMO_LOST_FILE", str(mounted))

    with pytest.raises(ImproperlyConfigured, match=r"^PROMO_LOST_FILE points to a"):
        environment.text("PROMO_LOST")


def test_the_environment_overrides_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / ".env"
    path.write_text("PROMO_NAME=of the file\nPROMO_OTHER='of the file, too'\n")
    monkeypatch.setenv("PROMO_NAME", "of the environment")
    monkeypatch.setenv("PROMO_OTHER", "")
    monkeypatch.delenv("PROMO_OTHER")

    environment.read_file(path)
    environment.read_file(tmp_path / "none")

    assert environment.text("PROMO_NAME") == "of the environment"
    assert environment.text("PROMO_OTHER") == "of the file, too"


def test_a_list_has_no_empty_entries(put: Callable[[str], None]) -> None:
    put(" a, ,b,, c ")

    assert environment.names("PROMO_NAME") == ["a", "b", "c"]
