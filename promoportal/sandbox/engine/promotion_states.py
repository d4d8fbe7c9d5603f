"""The life of a promotion."""

from __future__ import annotations

from dataclasses import replace

from promoportal.sandbox.engine.model import Promotion, State, Tier

# CONFIRMED (optimove.md, section 5): Draft -> Active <-> Deactivated -> Archived, which is
# final. ASSUMED: there is no other way; a draft is never archived, nor an active one.
MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.ACTIVE}),
    State.ACTIVE: frozenset({State.DEACTIVATED}),
    State.DEACTIVATED: frozenset({State.ACTIVE, State.ARCHIVED}),
    State.ARCHIVED: frozenset(),
}


def activate(promotion: Promotion) -> Promotion:
    """
    Let it give rewards. From the first time on its tiers stay as they are. CONFIRMED.

    :raises ValueError: if it is active or archived
    """
    return _moved(promotion, State.ACTIVE)


def deactivate(promotion: Promotion) -> Promotion:
    """
    Stop it, until it is activated again.

    :raises ValueError: if it is not active
    """
    return _moved(promotion, State.DEACTIVATED)


def archive(promotion: Promotion) -> Promotion:
    """
    Put it away for good.

    :raises ValueError: if it is not deactivated
    """
    return _moved(promotion, State.ARCHIVED)


def with_tiers(promotion: Promotion, tiers: tuple[Tier, ...]) -> Promotion:
    """
    Give a draft other tiers.

    :raises ValueError: if it was active once: its tiers are frozen. CONFIRMED
    """
    if promotion.frozen or promotion.state is not State.DRAFT:
        raise ValueError(
            f"The tiers of promotion {promotion.id!r} were frozen when it was first "
            "activated; make a new promotion to give others."
        )
    return replace(promotion, tiers=tiers)


def _moved(promotion: Promotion, to: State) -> Promotion:
    if to not in MOVES[promotion.state]:
        raise ValueError(_forbidden(promotion, to))
    return replace(promotion, state=to, frozen=True)


def _forbidden(promotion: Promotion, to: State) -> str:
    allowed = " or ".join(sorted(MOVES[promotion.state])) or "nothing else, for good"
    return (
        f"Promotion {promotion.id!r} is {promotion.state} and cannot become {to}; "
        f"from {promotion.state} it can become {allowed}."
    )
