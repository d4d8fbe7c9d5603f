"""Django's templates without files or libraries: variables, filters, `if` and `for`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from django.template import Context, Engine, Library, Template, defaultfilters
from django.template import defaulttags as tags

# These need a request, a site, a debugger or a library; an e-mail has none.
_REFUSED = {"csrf_token", "debug", "load", "url"}


# A campaign with a million e-mails has one template.
@lru_cache(maxsize=64)
def compiled(source: str, *, markup: bool) -> Template:
    """
    Return a compiled template; with `markup`, values are escaped.

    :raises django.template.TemplateSyntaxError: if the source is not a valid template
    """
    return Template(source, engine=_engine(markup=markup))


def filled(source: str, context: Mapping[str, object], *, markup: bool) -> str:
    """Return the rendered template; unknown names are empty."""
    # Values are not localised: a decimal comma in an amount is up to the template.
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
