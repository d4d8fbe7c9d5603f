"""All that is wrong with a scenario, each with its file, line and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from promoportal.toml.lines import Lines
from promoportal.toml.lines import Path as Place


class InvalidFile(ValueError):
    """A scenario that cannot be used; one sentence for each thing to mend."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


class Problems:
    """What is wrong so far."""

    def __init__(self, file: Path, lines: Lines) -> None:
        self.file = file
        self._lines = lines
        self._found: list[tuple[bool, str, int, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def at(self, place: Place, says: str) -> None:
        """Say what is wrong with a value: `must be a text; it is 5.`"""
        sentence = f"{named(place)} {says}" if place else says
        self.elsewhere(self.file, self._lines.of(place), sentence)

    def elsewhere(self, file: Path, line: int, sentence: str) -> None:
        """Say what is wrong with a line of a file that the scenario names."""
        self._found.append((file != self.file, str(file), line, sentence))

    def refuse(self) -> None:
        """
        Tell them all, in the order of the lines, the scenario's own file first.

        :raises Mistakes: if there are any
        """
        if self._found:
            ordered = sorted(self._found, key=lambda found: found[:3])
            raise InvalidFile(
                [f"{file}:{line}: {sentence}" for _, file, line, sentence in ordered]
            )


def named(place: Place) -> str:
    """Write a path as in the sentences: `promotions[0].tiers[1].reward`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def instead(wrong: str, known: Sequence[str]) -> str:
    """Offer what was probably meant, or whatever there is."""
    near = get_close_matches(wrong, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if not known:
        return "there is none."
    return f"known are {', '.join(known)}."
