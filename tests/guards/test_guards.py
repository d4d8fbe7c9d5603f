"""The list of guards, and their removal in a copy of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.guards import guard_list, table
from bench.guards.guard_list import Guard
from bench.guards.removal import ROOT, Copy, Removal

GUARDS = guard_list.read()
UNDER_LEASE = Guard(
    id="no-call-without-permission",
    guarantee="A call would begin although the lease ends before the call.",
    file="rewards/activation/call_pool.py",
    line="    if not may_begin():\n        return CallResult(row, Outcome.NOT_SENT)\n",
    without="",
    tests=["tests/rewards/activation/test_call_pool.py"],
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.id)
def test_each_guard_is_in_its_file_once(guard: Guard) -> None:
    text = (ROOT / guard.file).read_text(encoding="utf-8")
    assert guard.remove_from(text) != text


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.id)
def test_the_tests_of_each_guard_exist(guard: Guard) -> None:
    assert guard.tests
    for test in guard.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists(), path
        function = name.partition("[")[0]
        if function:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert f"def {function.rpartition('::')[2]}(" in text, test


def test_the_table_of_guarantees_lists_each_guard() -> None:
    shown = table.shown()
    text = table.PAGE.read_text(encoding="utf-8")
    assert list(shown) == [guard.id for guard in GUARDS]
    for guard in GUARDS:
        assert table.row(guard, shown[guard.id]) in text


def test_a_new_result_changes_only_its_line_of_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- guards: begin -->\n<!-- guards: end -->\nAfter\n")
    first, second, third = GUARDS[:3]

    table.write([Removal(first, "tests/test_a.py::test_b[c]"), Removal(second)], page)
    table.write([Removal(third, "tests/test_d.py::test_e")], page)

    assert list(table.shown(page).items())[:4] == [
        (first.id, "`tests/test_a.py`: test_b"),
        (second.id, "**no test**"),
        (third.id, "`tests/test_d.py`: test_e"),
        (GUARDS[3].id, table.NOT_RUN),
    ]
    assert page.read_text().startswith("Before\n")
    assert page.read_text().endswith("\nAfter\n")


def test_a_line_that_is_missing_or_ambiguous_is_reported() -> None:
    with pytest.raises(ValueError, match="occurs 0 times"):
        UNDER_LEASE.remove_from("")
    with pytest.raises(ValueError, match="occurs 2 times"):
        UNDER_LEASE.remove_from(2 * UNDER_LEASE.line)


def test_two_guards_with_one_id_are_reported(tmp_path: Path) -> None:
    entry = '[[guard]]\nid="a"\nguarantee=""\nfile=""\nline=""\nwithout=""\ntests=[]\n'
    (tmp_path / "some.toml").write_text(2 * entry)
    with pytest.raises(ValueError, match="a is the ID of two guards"):
        guard_list.read(tmp_path)


def test_an_incomplete_guard_is_reported(tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text('[[guard]]\nid = "a"\n')
    with pytest.raises(ValueError, match=r"some\.toml: .*guarantee"):
        guard_list.read(tmp_path)


def test_a_removed_guard_is_detected_and_put_back(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    before = (tmp_path / UNDER_LEASE.file).read_text()

    removal = copy.try_without(UNDER_LEASE)

    assert removal.detected_by.startswith("tests/rewards/activation/test_call_pool.py")
    assert (tmp_path / UNDER_LEASE.file).read_text() == before


def test_an_edit_that_no_test_detects_is_reported_as_such(tmp_path: Path) -> None:
    harmless = Guard(
        id="harmless",
        guarantee="Nothing.",
        file=UNDER_LEASE.file,
        line="# Checked directly before the call",
        without="# Checked before the call",
        tests=UNDER_LEASE.tests,
    )
    removal = Copy(tmp_path).try_without(harmless)
    assert not removal.is_detected
    assert not removal.problem


def test_an_edit_that_leaves_an_undefined_name_is_not_detected(
    tmp_path: Path,
) -> None:
    broken = Guard(
        id="broken",
        guarantee="Nothing.",
        file=UNDER_LEASE.file,
        line="if not may_begin():",
        without="if not may_start():",
        tests=UNDER_LEASE.tests,
    )
    removal = Copy(tmp_path).try_without(broken)
    assert not removal.is_detected
    assert "may_start" in removal.problem
