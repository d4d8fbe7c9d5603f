"""Lists and pages of rows that have a state, and moved to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.utils.safestring import SafeString

from promoportal.admin.formatting import beside, quoted, short, since, state_of
from promoportal.admin.model_admin import ReadOnlyAdmin
from promoportal.admin.timeline import Moment, transitions_of

S = TypeVar("S", bound=Model)


class StatefulAdmin(ReadOnlyAdmin[S]):
    """Rows with a state, its history, and perhaps a reason."""

    def version(self, row: Any) -> str:
        return f"{row.state} {row.state_since.isoformat()}"

    def stands(self, row: Any) -> str:
        return str(row.get_state_display())

    @admin.display(description="state")
    def status(self, row: Any) -> SafeString:
        return state_of(row)

    @admin.display(description="state")
    def standing(self, row: Any) -> SafeString:
        """How it is, and since when: in a column, so that a row fits a screen."""
        return beside(self.status(row), since(row.state_since))

    def problem_of(self, row: Any) -> str:
        """The words beside the reason, as they may be shown."""
        return str(row.problem)

    @admin.display(description="why")
    def why(self, row: Any) -> str:
        """The reason, and the words beside it."""
        reason, problem = row.get_reason_display(), short(self.problem_of(row))
        return f"{reason}. {problem}" if reason and problem else reason or problem

    @admin.display(description="what is wrong")
    def problem_in_full(self, row: Any) -> SafeString:
        said = (row.get_reason_display(), self.problem_of(row))
        return quoted(". ".join(part for part in said if part))

    def marks(self, row: Any) -> list[SafeString]:
        return [self.status(row), since(row.state_since)]

    def story(self, row: Any) -> Iterable[Moment]:
        return transitions_of(row)
