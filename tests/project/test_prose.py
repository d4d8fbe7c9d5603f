"""Docs, docstrings, comments, messages, labels and names of tests are in plain English."""

from __future__ import annotations

import ast
import html
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import get_commands, load_command_class

from tests.project import prose, tree

OURS = ("executions", "rewards", "redemptions", "promoportal")
Texts = Iterator[tuple[str, str]]


# --- Sources: each yields texts with the place of each ---------------------------------


def of_labels() -> Texts:
    """Yield the names of models and fields, and the labels of choices and actions."""
    for model in _models():
        meta = model._meta
        yield meta.label, str(meta.verbose_name)
        yield meta.label, str(meta.verbose_name_plural)
        for field in meta.fields:
            where = f"{meta.label}.{field.name}"
            yield where, str(field.verbose_name)
            yield from ((where, str(label)) for _, label in field.flatchoices)
    for model, page in admin.site._registry.items():
        where = f"{model._meta.label} page"
        yield from ((where, action.label) for action in getattr(page, "offered", ()))
        for name in page.list_display:
            column: Any = getattr(page, name, None) if isinstance(name, str) else name
            yield where, str(getattr(column, "short_description", "") or "")
        for each in page.list_filter:
            yield where, str(getattr(each, "title", ""))


def of_models() -> Texts:
    for model in _models():
        meta = model._meta
        yield from ((meta.label, str(name)) for _, name in meta.permissions)
        for field in meta.fields:
            yield f"{meta.label}.{field.name}", str(field.help_text)


def of_admin() -> Texts:
    for model, page in admin.site._registry.items():
        where = f"{model._meta.label} page"
        yield where, str(page.search_help_text or "")
        for action in getattr(page, "offered", ()):
            yield from ((where, text) for text in (action.warning, *action.said))
        for alert in getattr(page, "alerts", ()):
            yield from ((where, text) for text in (alert.label, alert.one))
        yield from ((where, str(name or "")) for name, _ in page.fieldsets or ())


def of_commands() -> Texts:
    for name, app in get_commands().items():
        if app == "promoportal":
            command = load_command_class(app, name)
            parser = command.create_parser("manage.py", name)
            yield f"manage.py {name}", parser.format_help()


def of_templates() -> Texts:
    for path in (tree.ROOT / "templates").rglob("*.html"):
        for line in path.read_text().splitlines():
            shown = " ".join(re.findall(r'(?:placeholder|aria-label)="([^"]*)"', line))
            text = re.sub(r"<[^>]*>|{[%{#].*?[%}#]}", " ", line)
            yield tree.name_of(path), html.unescape(f"{text} {shown}")


def of_strings() -> Texts:
    """Yield every literal of the product that has a space and is no docstring."""
    for path in _modules(*OURS, "bench"):
        code = _parsed(path)
        known = {id(node) for node in _docstrings(path)}
        for node in ast.walk(code):
            if isinstance(node, ast.JoinedStr):  # its parts are no texts of their own
                known |= {id(part) for part in ast.walk(node) if part is not node}
        for node in ast.walk(code):
            text = "" if id(node) in known else _literal(node)
            if " " in text.strip() and not prose.IS_CODE.search(text):
                yield tree.name_of(path), text


def of_docstrings() -> Texts:
    for path in _modules(*OURS, "bench", "tests"):
        for node in _docstrings(path):
            yield f"{tree.name_of(path)}:{node.lineno}", str(node.value)


def of_comments() -> Texts:
    for path in _modules(*OURS, "bench", "tests"):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type == tokenize.COMMENT:
                yield f"{tree.name_of(path)}:{token.start[0]}", token.string


def of_names_of_tests() -> Texts:
    for path in _modules("tests"):
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield tree.name_of(path), node.name.replace("_", " ")


def of_docs() -> Texts:
    for page in tree.pages():
        text = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", tree.prose(page))
        for line in text.splitlines():
            yield tree.name_of(page), line


def of_settings_and_make() -> Texts:
    for name in (".env.example", "Makefile", ".ci/run"):
        for line in tree.say(name).splitlines():
            yield name, line.partition("#")[2]


def _models() -> Iterator[type[Any]]:
    return (model for model in apps.get_models() if model._meta.app_label in OURS)


def _modules(*folders: str) -> Iterator[Path]:
    for path in tree.files():
        parts = path.relative_to(tree.ROOT).parts
        if path.suffix == ".py" and parts[0] in folders and "migrations" not in parts:
            yield path


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _docstrings(path: Path) -> Iterator[ast.Constant]:
    """Yield the docstrings of a module, its classes and its functions."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _literal(node: ast.AST) -> str:
    """Return a string, or an f-string with "…" for its values; empty for other nodes."""
    if isinstance(node, ast.JoinedStr):
        return "…".join(map(_literal, node.values))
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return str(node.value) if is_text else ""  # type: ignore[attr-defined]


SOURCES = [
    of_labels,
    of_models,
    of_admin,
    of_commands,
    of_templates,
    of_strings,
    of_docstrings,
    of_comments,
    of_names_of_tests,
    of_docs,
    of_settings_and_make,
]
by_source = pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.__name__)


@cache
def texts_of(source: Callable[[], Texts]) -> tuple[tuple[str, str], ...]:
    return tuple((where, text) for where, text in source() if text.strip())


# --- Faults ----------------------------------------------------------------------------


class Fault(NamedTuple):
    """A forbidden word, or a label, sentence or heading that is no good, in a text."""

    where: str
    word: str
    message: str


Check = Callable[[], Iterator[Fault]]


def faulty_words(source: Callable[[], Texts]) -> Iterator[Fault]:
    for where, text in texts_of(source):
        for word, better in prose.found(text):
            shown = " ".join(text.split())[:80]
            yield Fault(where, word, f"“{word}” in “{shown}”; use: {better}")


def faulty_labels() -> Iterator[Fault]:
    for where, label in texts_of(of_labels):
        if prose.is_wrong_label(label):
            yield Fault(
                where, prose.LABEL, f"“{label}” is long, or written like a title"
            )


def faulty_sentences() -> Iterator[Fault]:
    pages = ((tree.name_of(page), tree.prose(page)) for page in tree.pages())
    for where, text in [*pages, *texts_of(of_strings)]:
        for sentence in prose.sentences(text):
            if (length := len(sentence.split())) > prose.MAX_WORDS:
                yield Fault(where, prose.SENTENCE, f"{length} words: “{sentence}”")


def faulty_headings() -> Iterator[Fault]:
    for page in tree.pages():
        for heading in re.findall(r"^#+ (.+)$", tree.prose(page), re.MULTILINE):
            if "?" in heading or prose.IS_RIDDLE.match(heading):
                yield Fault(tree.name_of(page), prose.HEADING, f"heading “{heading}”")


def faulty_docstrings() -> Iterator[Fault]:
    for where, text in texts_of(of_docstrings):
        if prose.IS_RIDDLE.match(text.strip()):
            yield Fault(where, "", f"it begins with “{text.split()[0]}”")


CHECKS: list[Check] = [
    *(partial(faulty_words, source) for source in SOURCES),
    faulty_labels,
    faulty_sentences,
    faulty_headings,
    faulty_docstrings,
]


def name_of(check: Check) -> str:
    named: Any = check.args[0] if isinstance(check, partial) else check
    return str(named.__name__)


def allowing(fault: Fault) -> list[prose.Allowed]:
    return [each for each in prose.EXCEPTIONS if each.fits(fault.where, fault.word)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.__name__)
def test_every_source_yields_texts(source: Callable[[], Texts]) -> None:
    assert len(texts_of(source)) > 5


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_texts_are_in_plain_english(check: Check) -> None:
    found = {f"{each.where}: {each.message}" for each in check() if not allowing(each)}
    assert not found, "\n".join(["", *sorted(found)])


def test_every_exception_is_still_needed() -> None:
    needed = {
        (each, fault.word)
        for check in CHECKS
        for fault in check()
        for each in allowing(fault)
    }
    listed = {(each, word) for each in prose.EXCEPTIONS for word in each.words}
    assert not listed - needed


# --- The checks themselves -------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Nobody listens.",
        "It was given twice",
        "a doubtful reward",
        "Whoever calls it",
        "the far side",
        "The vendor lists it",
    ],
)
def test_a_forbidden_word_is_found(text: str) -> None:
    assert prose.found(text)


@pytest.mark.parametrize(
    "text", ["`HELD` rows", "the state HELD", "not_before", "re-held", "docs/vendor.md"]
)
def test_names_in_code_are_allowed(text: str) -> None:
    assert not prose.found(text)


@pytest.mark.parametrize(
    "label", ["A label of five words", "Not Like This", "No stop.", "In CAPITALS"]
)
def test_a_wrong_label_is_found(label: str) -> None:
    assert prose.is_wrong_label(label)


@pytest.mark.parametrize(
    "label", ["Retry", "Outcome unknown", "Optimove ID", "Export as CSV", "status"]
)
def test_a_right_label_is_allowed(label: str) -> None:
    assert not prose.is_wrong_label(label)
