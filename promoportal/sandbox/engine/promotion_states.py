"""Transitions between the states of a promotion."""

from __future__ import annotations

from dataclasses import replace

from promoportal.sandbox.engine.model import Promotion, State, Tier

# CONFIRMED (optimove.md, section 5): Draft -> Active <-> Deactivated -> Archived, which
# is final. ASSUMED: no other transitions; a draft or active one is never archived.
MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.ACTIVE}),
    State.ACTIVE: frozenset({State.DEACTIVATED}),
    State.DEACTIVATED: frozenset({State.ACTIVE, State.ARCHIVED}),
    State.ARCHIVED: frozenset(),
}


def activate(promotion: Promotion) -> Promotion:
    """
    Return the promotion as active. Its first activation freezes its tiers. CONFIRMED.

    :raises ValueError: if it is active or archived
    """
    return _moved(promotion, State.ACTIVE)


def deactivate(promotion: Promotion) -> Promotion:
    """
    Return the promotion as deactivated; it can be activated again.

    :raises ValueError: if it is not active
    """
    return _moved(promotion, State.DEACTIVATED)


def archive(promotion: Promotion) -> Promotion:
    """
    Return the promotion as archived, which is final.

    :raises ValueError: if it is not deactivated
    """
    return _moved(promotion, State.ARCHIVED)


def with_tiers(promotion: Promotion, tiers: tuple[Tier, ...]) -> Promotion:
    """
    Return a draft with other tiers.

    :raises ValueError: if it was ever active, which froze its tiers. CONFIRMED
    """
    if promotion.frozen or promotion.state is not State.DRAFT:
        raise ValueError(
            f"The tiers of promotion {promotion.id!r} were frozen when it was first "
            "activated; make a new promotion to give others."
        )
    return replace(promotion, tiers=tiers)


def _moved(promotion: Promotion, to: State) -> Promotion:
    if to not in MOVES[promotion.state]:
        raise ValueError(_refusal(promotion, to))
    return replace(promotion, state=to, frozen=True)


def _refusal(promotion: Promotion, to: State) -> str:
    allowed = " or ".join(sorted(MOVES[promotion.state])) or "nothing else, for good"
    return (
        f"Promotion {promotion.id!r} is {promotion.state} and cannot become {to}; "
        f"from {promotion.state} it can become {allowed}."
    )
