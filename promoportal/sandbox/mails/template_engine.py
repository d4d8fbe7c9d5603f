"""Django's template engine for emails, without tags that need a file or a request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from django.template import Context, Engine, Library, Template, defaultfilters
from django.template import defaulttags as tags

# These tags need a request, a site, a debugger or a library. An email has none of them.
_REFUSED = {"csrf_token", "debug", "load", "url"}


# All emails of a campaign have the same templates, so few are compiled.
@lru_cache(maxsize=64)
def compiled(source: str, *, markup: bool) -> Template:
    """Return a compiled template. If `markup` is true, values are escaped for HTML."""
    return Template(source, engine=_engine(markup=markup))


def filled(source: str, context: Mapping[str, object], *, markup: bool) -> str:
    """Return the rendered template. An unknown variable is rendered as ""."""
    # Values are not localised: 10.50 has a point in every language.
    filling = Context(dict(context), autoescape=markup, use_l10n=False, use_tz=False)
    return compiled(source, markup=markup).render(filling)


@lru_cache
def _engine(*, markup: bool) -> Engine:
    engine = Engine(autoescape=markup, loaders=[])
    known = Library()
    known.tags = {
        name: tag for name, tag in tags.register.tags.items() if name not in _REFUSED
    }
    engine.template_builtins = [known, defaultfilters.register]
    return engine
