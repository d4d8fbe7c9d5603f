"""
Identification of listed rows: which stored assignment each row is.

The assignment ID decides, if its customer and promotion are the same as before. But the
contract file may have named a wrong place of the ID, and Optimove may list an ID for
another customer. Then what the row contains decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from django.db.models import Q

from executions.models import Execution
from promoportal import optimove
from rewards.collection.evaluation import Listed
from rewards.models import Assignment, AssignmentDifference, AssignmentState

TWICE = "Optimove lists this assignment id twice, and not the same both times."
OWN_ID_UNKNOWN = (
    "This customer has another assignment of this promotion, whose own id is not"
    " known. This one may be the same."
)
Pair = tuple[Assignment, Listed]
Owner = tuple[int | None, str]


@dataclass(frozen=True)
class Identified:
    """
    The rows of a page, by the stored assignments that they are.

    `taken` contains stored rows whose ID is listed for another owner now. `siblings`
    contains the stored rows of the owners of `new` rows, the first one first.
    """

    again: list[Pair]
    taken: list[Pair] = field(default_factory=list)
    new: list[Listed] = field(default_factory=list)
    siblings: Mapping[Owner, Sequence[Assignment]] = field(default_factory=dict)


def identify(execution: Execution, page: Sequence[Listed]) -> Identified:
    """Find the stored assignment of each row. The caller must have locked the rows."""
    stored = Assignment.objects.filter(execution=execution)
    stored = stored.select_related("promotion", "execution")
    references = Counter(listed.row.reference for listed in page)
    known = {row.reference: row for row in stored.filter(reference__in=references)}
    clear = [
        (known[listed.row.reference], listed)
        for listed in page
        if references[listed.row.reference] == 1 and _is_clear(listed, known)
    ]
    if len(clear) == len(page):
        return Identified(clear)
    found = {listed.row.reference for _, listed in clear}
    rest = [listed for listed in page if listed.row.reference not in found]
    candidates = list(stored.filter(_may_be(rest)).order_by("pk"))
    return _identify_rest(clear, rest, known, candidates)


def identify_stored(row: Assignment, listed: Listed) -> Listed | None:
    """
    Return what a stored row contains, with the ID that the row should have.

    Return None if another stored row is this assignment. The caller must have locked
    the execution.
    """
    same = Assignment.objects.filter(
        execution=row.execution_id, reference=listed.row.reference
    )
    holder = same.exclude(pk=row.pk).select_related("promotion").first()
    if holder is None:
        return listed
    is_conflicting = _in_family(row, listed.row.reference)
    if _is_owner(holder, listed) and not is_conflicting:
        return None
    return _under(row.reference, listed, holder)


def listed_reference(row: Assignment) -> str:
    """Return the assignment ID that Optimove lists for a stored row."""
    if "#" not in row.reference:
        return row.reference
    listed = optimove.reread(row.as_assigned).reference
    return listed if _in_family(row, listed) else row.reference


def _is_clear(listed: Listed, known: Mapping[str, Assignment]) -> bool:
    old = known.get(listed.row.reference)
    return old is not None and _is_owner(old, listed)


def _is_owner(old: Assignment, listed: Listed) -> bool:
    """Return whether the stored row may have the owner of the listed row."""
    if old.key is None and not old.difference and old.as_assigned == listed.row.raw:
        return True  # the row was invalid: its customer may have been read wrongly
    promotion = old.promotion.reference if old.promotion else ""
    pairs = ((old.customer, listed.row.customer), (promotion, listed.row.promotion))
    return all(not ours or not theirs or ours == theirs for ours, theirs in pairs)


def _may_be(rest: Iterable[Listed]) -> Q:
    """Return a filter for the stored rows that the listed rows may be."""
    references = {name for listed in rest for name in _references(listed)}
    customers = {listed.row.customer for listed in rest if listed.row.customer}
    return Q(reference__in=references) | Q(customer__in=customers)


def _identify_rest(
    clear: list[Pair],
    rest: Sequence[Listed],
    known: Mapping[str, Assignment],
    candidates: Sequence[Assignment],
) -> Identified:
    used = {old.pk for old, _ in clear}
    free = [row for row in candidates if row.pk not in used]
    again, new = _match(rest, free)
    used |= {old.pk for old, _ in again}
    lost = [
        (known[reference], listed)
        for reference, listed in {each.row.reference: each for each in rest}.items()
        if reference in known and known[reference].pk not in used
    ]
    siblings = defaultdict(list)
    for row in candidates:
        siblings[row.promotion_id, row.customer].append(row)
    named = [(old, _named(old, listed, known)) for old, listed in again]
    return Identified(clear + named, lost, _name_new(new, known, used), siblings)


def _match(
    rest: Sequence[Listed], free: Iterable[Assignment]
) -> tuple[list[Pair], list[Listed]]:
    """Pair listed and stored rows, the most alike first; also return other rows."""
    rows, near = {row.pk: row for row in free}, _Near(free)
    alike = sorted(
        (-likeness, old.pk, number)
        for number, listed in enumerate(rest)
        for old in near.to(listed)
        if (likeness := _likeness(old, listed))
    )
    pairs: dict[int, Pair] = {}
    for _, pk, number in alike:
        if pk in rows and number not in pairs:
            pairs[number] = (rows.pop(pk), rest[number])
    others = [each for number, each in enumerate(rest) if number not in pairs]
    return list(pairs.values()), others


class _Near:
    """Stored rows by customer and by reference."""

    def __init__(self, rows: Iterable[Assignment]) -> None:
        self._by: dict[tuple[str, str], list[Assignment]] = defaultdict(list)
        for row in rows:
            self._by["reference", row.reference].append(row)
            if row.customer:
                self._by["customer", row.customer].append(row)

    def to(self, listed: Listed) -> Iterable[Assignment]:
        """Return the stored rows that the listed row may be, each once."""
        keys = [("reference", name) for name in _references(listed)]
        keys.append(("customer", listed.row.customer))
        return {row.pk: row for key in keys for row in self._by.get(key, ())}.values()


def _likeness(old: Assignment, listed: Listed) -> int:
    """Return how sure it is that a stored row is the listed one; 0 if it is not."""
    reference = listed.row.reference
    if not _is_owner(old, listed):
        return 0
    if old.as_assigned == listed.row.raw:
        return 4
    if old.reference == _conflicting_reference(listed):
        return 3
    if _in_family(old, reference):
        return 2 if old.reference == reference else 1
    own = optimove.reread(old.as_assigned).reference
    is_same = own == reference or (
        own == optimove.stand_in(old.as_assigned)
        and optimove.same_but_for_id(old.as_assigned, listed.row.raw)
    )
    return 1 if is_same else 0


def lacks_proof(row: Assignment) -> bool:
    """Return whether a further assignment of the same owner may be this one."""
    if row.state == AssignmentState.VOID:
        return False
    if row.difference == AssignmentDifference.OWNER:
        return True
    own = optimove.reread(row.as_assigned).reference
    return own == optimove.stand_in(row.as_assigned)


# --- Rows under the ID of another assignment --------------------------------------------


def _named(old: Assignment, listed: Listed, known: Mapping[str, Assignment]) -> Listed:
    """Return a listed row with the ID that its stored row should have."""
    holder = known.get(listed.row.reference)
    if holder is None or holder.pk == old.pk:
        return listed
    return _under(old.reference, listed, holder)


def _name_new(
    new: Iterable[Listed], known: Mapping[str, Assignment], used: AbstractSet[int]
) -> list[Listed]:
    """Return new rows; those under the ID of another row get an ID of their own."""
    named: dict[str, Listed] = {}
    for listed in new:
        reference, own = listed.row.reference, _conflicting_reference(listed)
        holder = known.get(reference)
        if holder and holder.pk not in used:
            named[own] = _under(own, listed, holder)
        elif holder or reference in named:
            row = replace(
                listed.row, reference=own, problem=listed.row.problem or TWICE
            )
            named[own] = replace(listed, row=row)
        else:
            named[reference] = listed
    return list(named.values())


def _under(reference: str, listed: Listed, holder: Assignment) -> Listed:
    """Return a row whose ID another assignment has, under another ID."""
    difference = (
        AssignmentDifference.REWARD
        if _is_owner(holder, listed)
        else AssignmentDifference.OWNER
    )
    row = replace(listed.row, reference=reference)
    return replace(listed, row=row, conflict=difference)


def _references(listed: Listed) -> tuple[str, ...]:
    """Return the IDs under which the row may be stored."""
    own = listed.row.reference
    return own, _conflicting_reference(listed), optimove.stand_in(listed.row.raw)


def _conflicting_reference(listed: Listed) -> str:
    digest = hashlib.sha256(repr(listed.content).encode()).hexdigest()[:16]
    return f"{_family(listed.row.reference)}{digest}"


def _in_family(row: Assignment, reference: str) -> bool:
    """Return whether a stored row has this ID, or is under this ID of another row."""
    return row.reference == reference or row.reference.startswith(_family(reference))


def _family(reference: str) -> str:
    return f"{reference[:180]}#"
