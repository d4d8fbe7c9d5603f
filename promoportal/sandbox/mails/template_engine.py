"""
Django's templates by themselves: no files, no settings of ours, nothing to load.

What is left are variables, filters, conditions and loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from django.template import Context, Engine, Library, Template, defaultfilters
from django.template import defaulttags as tags

# They want a request, a site or a debugger; an e-mail has none.
_REFUSED = {"csrf_token", "debug", "load", "url"}


def compiled(source: str, *, markup: bool) -> Template:
    """
    Make a template ready. What is put into markup is escaped.

    :raises django.template.TemplateSyntaxError: if it is none
    """
    return Template(source, engine=_engine(markup=markup))


def filled(source: str, context: Mapping[str, object], *, markup: bool) -> str:
    """Fill a template; what it asks for in vain stays empty."""
    # As they are: a comma for the point in a sum of money is the template's own business.
    filling = Context(dict(context), autoescape=markup, use_l10n=False, use_tz=False)
    return _ready(source, markup=markup).render(filling)


# A campaign of a million has one template.
@lru_cache(maxsize=64)
def _ready(source: str, *, markup: bool) -> Template:
    return compiled(source, markup=markup)


@lru_cache
def _engine(*, markup: bool) -> Engine:
    engine = Engine(autoescape=markup, loaders=[])
    known = Library()
    known.tags = {
        name: tag for name, tag in tags.register.tags.items() if name not in _REFUSED
    }
    engine.template_builtins = [known, defaultfilters.register]
    return engine
