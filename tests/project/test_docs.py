"""The docs agree with the code, and their links work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin
from django.db.models import TextChoices

import executions.models
import redemptions.models
import rewards.models
from promoportal.runtime import crash_points
from promoportal.sandbox.faults import kinds_of
from promoportal.sandbox.scenarios import load
from tests.engine import test_crash_points
from tests.project import drawing, tree

_LINK = re.compile(r"!?\[[^]]*]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
OPERATIONS = "docs/operations.md"


def links(page: Path) -> Iterator[str]:
    for match in _LINK.finditer(tree.prose(page)):
        yield match[1] or match[2]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a git host derives from the headings."""
    titles = re.findall(r"^#+ (.+)$", tree.prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", tree.pages(), ids=tree.name_of)
def test_every_link_has_a_target(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{tree.name_of(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{tree.name_of(page)}: {link}"


def test_every_decision_is_in_the_index_by_its_title() -> None:
    folder = tree.ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    decisions = sorted(folder.glob("[0-9]*.md"))
    listed = [
        f"- [{tree.headings(page.read_text(), 1)[0]}]({page.name})"
        for page in decisions
    ]
    assert decisions
    assert re.findall(r"^- \[.*$", index, re.MULTILINE) == listed


def test_every_decision_names_its_alternatives() -> None:
    for page in (tree.ROOT / "docs/adr").glob("[0-9]*.md"):
        assert tree.headings(page.read_text(), 2) == ["Alternatives considered"], (
            page.name
        )


def test_the_drawn_parts_agree_with_the_code() -> None:
    shown = drawing.in_page(tree.say(drawing.PAGE))
    assert shown == drawing.in_code(), "run: .venv/bin/python -m tests.project.drawing"


def test_every_dependency_has_a_reason() -> None:
    project = tree.pyproject()
    wanted = [
        tree.package(requirement)
        for requirement in (
            *project["project"]["dependencies"],
            *project["dependency-groups"]["dev"],
        )
    ]
    reasons = tree.section(tree.say(drawing.PAGE), "Dependencies")
    explained = re.findall(r"^\| `([^`]+)` \| \S", reasons, re.MULTILINE)
    assert sorted(explained) == sorted({name.lower() for name in wanted})


@pytest.mark.parametrize(
    ("part", "reasons"),
    [
        (
            "Reasons: webhook deliveries, triggered customers and executions",
            executions.models.ExecutionReason,
        ),
        (
            "Reasons: assignments and assignment fetches",
            rewards.models.AssignmentReason,
        ),
        ("Reasons: redemptions", redemptions.models.RedemptionReason),
    ],
)
def test_every_reason_has_a_heading(part: str, reasons: type[TextChoices]) -> None:
    text = tree.section(tree.say(OPERATIONS), part)
    expected = {f"{reason.label} (`{reason.value}`)" for reason in reasons}
    assert set(tree.headings(text, 3)) == expected


def test_every_crash_point_is_documented_and_tested() -> None:
    text = tree.section(tree.say("docs/guarantees.md"), "Crash points")
    named = re.findall(r"^\| `([a-z.]+)` \|", text, re.MULTILINE)
    assert named == list(crash_points.Point)
    assert set(test_crash_points.CASES) == set(crash_points.Point)


def test_every_check_is_documented() -> None:
    known = set(
        re.findall(r'"promoportal\.([EW]\d+)"', tree.say("promoportal/checks.py"))
    )
    text = tree.section(tree.say(OPERATIONS), "The portal does not start")
    assert (
        set(re.findall(r"^\| `promoportal\.([EW]\d+)` \|", text, re.MULTILINE)) == known
    )


def test_every_command_named_in_the_docs_exists() -> None:
    commands = {
        path.stem
        for path in (tree.ROOT / "promoportal/management/commands").glob("*.py")
    }
    from_django = {"check", "createsuperuser", "dbshell", "makemigrations", "migrate"}
    for page in tree.pages():
        named = set(re.findall(r"manage\.py ([a-z]+)", page.read_text()))
        assert named <= commands | from_django, page.name


def test_every_fault_is_documented() -> None:
    text = tree.say("docs/scenarios.md").partition("<!-- faults -->")[2]
    named = set(re.findall(r"`(\w+)`", "".join(_first_columns(text))))
    assert named == {*kinds_of("any"), *kinds_of("notices")}


def _first_columns(text: str) -> Iterator[str]:
    for line in text.partition("<!-- end -->")[0].splitlines():
        if line.startswith("| `"):
            yield line.split("|")[1]


def test_the_explained_scenario_can_be_loaded(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", tree.say("docs/scenarios.md"), re.DOTALL)
    (tmp_path / "ours.toml").write_text(text)
    (tmp_path / "codes.csv").write_text("A1\nA2\n")
    (tmp_path / "welcome.txt").write_text("Welcome back, {{ customer.email }}.\n")

    assert load(tmp_path / "ours.toml").title == "Welcome back"


def test_every_button_named_in_the_docs_exists() -> None:
    pages = admin.site._registry.values()
    labels = {action.label for page in pages for action in getattr(page, "offered", ())}
    named = set(re.findall(r"\*\*([^*]+)\*\*", tree.say(OPERATIONS)))
    assert named
    assert named <= labels
