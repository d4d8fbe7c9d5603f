"""All problems of a TOML file, each with its position in the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from promoportal.toml.lines import Lines
from promoportal.toml.lines import Path as Place


class InvalidFile(ValueError):
    """An error about a file that cannot be used, with a sentence for each problem."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def file_and_line(file: Path, line: int | None) -> str:
    """Format a position as compilers do: `scenario.toml:12`."""
    return f"{file}:{line}"


class Problems:
    """The problems found in a file, and in the files that it names."""

    def __init__(
        self,
        file: Path,
        lines: Lines,
        position: Callable[[Path, int | None], str] = file_and_line,
    ) -> None:
        """:param position: formats a file and a line for the beginning of a sentence"""
        self.file = file
        self._lines = lines
        self._position = position
        self._found: list[tuple[bool, str, float, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def at(self, place: Place, problem: str) -> None:
        """Add a problem of the value at `place`, such as `must be a text; it is 5.`"""
        sentence = f"{named(place)} {problem}" if place else problem
        self.elsewhere(self.file, self._lines.of(place), sentence)

    def elsewhere(self, file: Path, line: int | None, sentence: str) -> None:
        """Add a problem of this file or another; `line` is None if it has no line."""
        text = f"{self._position(file, line)}: {sentence}"
        self._found.append((file != self.file, str(file), line or math.inf, text))

    def sentences(self) -> list[str]:
        """Return the problems of the file by line, then those of the other files."""
        return [text for *_, text in sorted(self._found, key=lambda found: found[:3])]

    def refuse(self) -> None:
        """
        Raise an error if there are problems.

        :raises InvalidFile: with a sentence for each problem
        """
        if self._found:
            raise InvalidFile(self.sentences())


def named(place: Place) -> str:
    """Format a path for a sentence, such as `promotions[0].tiers[1].reward`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def instead(wrong: str, known: Sequence[str]) -> str:
    """
    Return the end of an error message about an unknown name.

    It is a question with the most similar known name. If no name is similar, it lists
    all known names, or states that there is none.
    """
    if near := nearest(wrong, known):
        return f"did you mean {near}?"
    if not known:
        return "there is none."
    return f"known: {', '.join(known)}."


def nearest(wrong: str, known: Sequence[str]) -> str | None:
    """Return the known name most similar to `wrong`, or None if none is similar."""
    return next(iter(get_close_matches(wrong, known, n=1)), None)
