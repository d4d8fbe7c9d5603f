from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from promoportal.admin.formatting import moment


def when(name: str, description: str = "") -> Callable[[Any, Any], SafeString]:
    """A column that shows a time of the row."""

    @admin.display(description=description or name.removesuffix("_at"))
    def column(_: Any, row: Any) -> SafeString:
        return moment(getattr(row, name))

    return column
