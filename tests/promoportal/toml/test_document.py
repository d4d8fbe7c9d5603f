"""Reading TOML files: the faults that a file can have, and the lines of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from promoportal.toml import document
from promoportal.toml.document import Fault, UnreadableFile


@pytest.mark.parametrize(
    ("written", "fault", "line"),
    [
        pytest.param(b"a = 1\nb = \n", Fault.NOT_TOML, 2, id="no value"),
        pytest.param(b"a = 1\n\n[b", Fault.NOT_TOML, 3, id="the end is missing"),
        pytest.param(b"a = " + b"[" * 9999, Fault.NOT_TOML, 1, id="a deep nest"),
        pytest.param(b"a = " + b"1" * 9999, Fault.NOT_TOML, 1, id="a long number"),
        pytest.param(b'a = 1\nb = "\xff"', Fault.NOT_UTF8, 2, id="another encoding"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_line(
    written: bytes, fault: Fault, line: int, tmp_path: Path
) -> None:
    path = tmp_path / "written.toml"
    path.write_bytes(written)

    with pytest.raises(UnreadableFile) as caught:
        document.read(path)

    assert (caught.value.fault, caught.value.line) == (fault, line)


@pytest.mark.parametrize("path", ["", "nowhere.toml", "a\0b"])
def test_a_path_that_cannot_be_opened_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile) as caught:
        document.read(tmp_path / path)

    assert caught.value.fault is Fault.INACCESSIBLE


def test_a_fraction_is_read_exactly_unless_asked_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "written.toml"
    path.write_text("a = 0.1")

    assert document.read(path).values == {"a": Decimal("0.1")}
    assert document.read(path, parse_float=float).values == {"a": 0.1}
