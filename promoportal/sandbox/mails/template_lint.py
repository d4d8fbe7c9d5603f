"""Checks that find the mistakes in a template before emails are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from django.template import TemplateSyntaxError
from django.template.base import FilterExpression, Node, NodeList, Variable
from django.template.defaulttags import ForNode, WithNode
from django.template.smartif import TokenBase

from promoportal.sandbox.mails.template_engine import compiled

# The names that a template may use. Each name is mapped to the names below it, or to
# None if every name below it is allowed.
Names = Mapping[str, "Names | None"]
_NAMING = ("asvar", "variable_name", "var_name")


class WrongLine(NamedTuple):
    """A mistake on one line of a template."""

    line: int
    sentence: str


def mistakes(
    source: str, names: Names | None = None, *, markup: bool = False
) -> list[WrongLine]:
    """Return the mistakes in a template. If `names` is None, names are not checked."""
    try:
        template = compiled(source, markup=markup)
    except TemplateSyntaxError as error:
        token = getattr(error, "token", None)
        return [WrongLine(getattr(token, "lineno", None) or 1, _reason(error))]
    return [] if names is None else list(_unknown(template.nodelist, names))


def _reason(error: TemplateSyntaxError) -> str:
    """Return Django's message without its line number and its advice to load a tag."""
    reason = re.sub(r" on line \d+", "", str(error))
    reason = reason.removesuffix(" Did you forget to register or load this tag?")
    return f"The template is invalid: {reason.rstrip('.')}."


def _unknown(nodes: Iterable[Node], names: Names) -> Iterator[WrongLine]:
    """Yield a mistake for each unknown name, except names that a tag has set."""
    for node in nodes:
        names = {**names, **_set_for_later(node)}
        line = (node.token and node.token.lineno) or 1
        for variable in _variables(vars(node)):
            sentence = _sentence(variable, names)
            if sentence:
                yield WrongLine(line, sentence)
        for below in node.child_nodelists:
            yield from _unknown(
                getattr(node, below, None) or (), {**names, **_set_inside(node)}
            )


def _set_for_later(node: Node) -> Names:
    given = (getattr(node, attribute, None) for attribute in _NAMING)
    return {name: None for name in given if isinstance(name, str)}


def _set_inside(node: Node) -> Names:
    if isinstance(node, ForNode):
        return dict.fromkeys([*node.loopvars, "forloop"])
    if isinstance(node, WithNode):
        return dict.fromkeys(node.extra_context)
    return {}


def _variables(found: object) -> Iterator[Variable]:
    """Yield the variables that a tag reads, without those of the tags inside it."""
    if isinstance(found, Variable):
        yield found
    elif isinstance(found, FilterExpression):
        yield from _variables((found.var, [args for _, args in found.filters]))
    elif isinstance(found, TokenBase):
        yield from _variables(vars(found))
    elif isinstance(found, Mapping):
        yield from _variables(list(found.values()))
    elif isinstance(found, list | tuple) and not isinstance(found, NodeList):
        for each in found:
            yield from _variables(each)


def _sentence(variable: Variable, names: Names) -> str | None:
    known: Names | None = names
    above = ""
    for name in variable.lookups or ():
        if known is None:
            return None
        if name not in known:
            return f"{variable.var} is not known; {_suggestion(above, name, known)}"
        known = known[name]
        above += f"{name}."
    return None


def _suggestion(above: str, name: str, known: Names) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {above}{near[0]}?"
    if not known:
        return f"{above.rstrip('.')} has no values."
    return f"known: {', '.join(above + each for each in known)}."
