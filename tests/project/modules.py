"""The project's modules, as their source has them; none is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.project import tree

PRODUCT = ("promoportal", "executions", "rewards", "redemptions", "bench")


@dataclass(frozen=True)
class Module:
    """A module: its dotted name and its file."""

    name: str
    path: Path

    @cached_property
    def source(self) -> str:
        return self.path.read_text()

    @cached_property
    def syntax(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def base_name(self) -> str:
        return self.path.stem


@cache
def product() -> Mapping[str, Module]:
    """Return the modules of the product by name, without migrations."""
    return {module.name: module for module in _below(PRODUCT)}


def _below(packages: tuple[str, ...]) -> Iterator[Module]:
    for path in tree.files():
        parts = path.relative_to(tree.ROOT).with_suffix("").parts
        if path.suffix == ".py" and parts[0] in packages and "migrations" not in parts:
            yield Module(".".join(parts).removesuffix(".__init__"), path)


def imported(syntax: ast.AST, known: Mapping[str, object]) -> Iterator[str]:
    """
    Yield which of the known modules a source imports, inside functions as well.

    That a package is imported before its modules does not count: a package may offer
    what its modules have.
    """
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            for each in node.names:
                name = f"{package}.{each.name}"
                if name in known:
                    yield name
                elif package in known:
                    yield package


def defined(syntax: ast.AST) -> Iterator[str]:
    """Yield the names that a source defines, at any depth."""
    for node in ast.walk(syntax):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(
            node.ctx, ast.Store
        ):
            yield node.id if isinstance(node, ast.Name) else node.attr
