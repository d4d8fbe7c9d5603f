from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from promoportal.toml.lines import Lines, Path


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield every path of a parsed document."""
    yield path
    if isinstance(value, dict):
        for name, below in value.items():
            yield from paths(below, (*path, name))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from paths(below, (*path, number))


NESTED = """\
title = "a # no comment"
[a]
b = 1  # a comment with [brackets] and "quotes
[a.c]
d = 2

  [a.c.e]
f = 3
"""
ARRAYS = """\
[[tiers]]
id = "one"
[tiers.reward]
value = 1

[[tiers]]
id = "two"
[[tiers.steps]]
n = 1
[[tiers.steps]]
n = 2
[tiers.reward]
value = 2
"""
STRINGS = '''\
one = """
[not.a.header]
key = 1 \\""" more
""""
two = \'\'\'
also = "not"
\\\'\'\'
three = "a \\" quote"
four = 'C:\\'
five = 5
'''
LISTS = """\
numbers = [
  1, 2,  # comment ]
  3,
]
nested = [[1, "]"],
  [2]]
empty = []
dates = [2025-01-01 10:00:00, 2025-01-02]
after = true
"""
KEYS = """\
a.b.c = 1
a . "d.e" = 2
'quoted key' = 3
"\\u00e4" = 4
a.b.f = 5
["x.y".z]
g = 6
"""
INLINE = """\
who = { all = [
  { attribute = "a", is = "}" },
  { any = [{ attribute = "b", at_least = 1 },
           { attribute = "c", one_of = ["x", "y"] }] },
] }
empty = {}
last = { a.b = 1, "c d" = [1] }
"""


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        pytest.param(NESTED, ("title",), 1, id="first"),
        pytest.param(NESTED, ("a",), 2, id="table"),
        pytest.param(NESTED, ("a", "b"), 3, id="key of a table"),
        pytest.param(NESTED, ("a", "c", "d"), 5, id="key of a nested table"),
        pytest.param(NESTED, ("a", "c", "e"), 7, id="indented header"),
        pytest.param(ARRAYS, ("tiers",), 1, id="array of tables"),
        pytest.param(ARRAYS, ("tiers", 0, "reward", "value"), 4, id="table in the first"),
        pytest.param(ARRAYS, ("tiers", 1), 6, id="the second"),
        pytest.param(ARRAYS, ("tiers", 1, "steps", 1, "n"), 11, id="array in an array"),
        pytest.param(ARRAYS, ("tiers", 1, "reward"), 12, id="table in the second"),
        pytest.param(STRINGS, ("two",), 5, id="after a multi-line string"),
        pytest.param(STRINGS, ("three",), 8, id="after a multi-line literal"),
        pytest.param(STRINGS, ("five",), 10, id="after strings with quotes"),
        pytest.param(LISTS, ("numbers", 2), 3, id="element of an array"),
        pytest.param(LISTS, ("nested", 1, 0), 6, id="element of an array in an array"),
        pytest.param(LISTS, ("after",), 9, id="after arrays"),
        pytest.param(KEYS, ("a", "b", "c"), 1, id="dotted key"),
        pytest.param(KEYS, ("a", "d.e"), 2, id="quoted part of a dotted key"),
        pytest.param(KEYS, ("quoted key",), 3, id="quoted key"),
        pytest.param(KEYS, ("ä",), 4, id="key with an escape"),
        pytest.param(KEYS, ("a", "b"), 1, id="what a dotted key is in"),
        pytest.param(KEYS, ("x.y", "z", "g"), 7, id="quoted part of a header"),
        pytest.param(INLINE, ("who",), 1, id="inline table"),
        pytest.param(INLINE, ("who", "all", 0, "is"), 2, id="inline table in an array"),
        pytest.param(INLINE, ("who", "all", 1, "any", 1), 4, id="deeply nested"),
        pytest.param(INLINE, ("last", "a", "b"), 7, id="dotted key in an inline table"),
    ],
)  # fmt: skip
def test_each_path_has_its_line(text: str, path: Path, line: int) -> None:
    assert Lines(text).of(path) == line


@pytest.mark.parametrize(
    "text", [NESTED, ARRAYS, STRINGS, LISTS, KEYS, INLINE, "", "# nothing\n"]
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_exactly_the_paths_of_the_document_have_lines(text: str, ending: str) -> None:
    text = text.replace("\n", ending)
    assert set(Lines(text).all()) == set(paths(tomllib.loads(text)))


def test_a_missing_key_has_the_line_of_its_table() -> None:
    lines = Lines(ARRAYS)
    assert lines.of(("tiers", 1, "reward", "currency")) == 12
    assert lines.of(("tiers", 1, "name")) == 6
    assert lines.of(("promotions",)) == 1


def test_invalid_toml_is_refused() -> None:
    with pytest.raises(ValueError, match="This is not TOML, at character 0"):
        Lines("= 3")
