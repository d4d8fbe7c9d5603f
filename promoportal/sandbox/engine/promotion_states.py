"""Transitions between the states of a promotion."""

from __future__ import annotations

from dataclasses import replace

from promoportal.sandbox.engine.model import Promotion, State

# CONFIRMED (optimove.md, section 5): Draft -> Active <-> Deactivated -> Archived.
# Archived is final. Tiers cannot change after the first activation. ASSUMED: there are
# no other transitions, so only a deactivated promotion can be archived.
MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.ACTIVE}),
    State.ACTIVE: frozenset({State.DEACTIVATED}),
    State.DEACTIVATED: frozenset({State.ACTIVE, State.ARCHIVED}),
    State.ARCHIVED: frozenset(),
}


def moved(promotion: Promotion, to: State) -> Promotion:
    """Return the promotion in the state `to`; raise ValueError if this is forbidden."""
    moves = MOVES[promotion.state]
    if to not in moves:
        allowed = " or ".join(sorted(moves))
        reason = f"it can become {allowed}" if allowed else "this state is final"
        raise ValueError(
            f"Promotion {promotion.id!r} is {promotion.state} and cannot become {to}; "
            f"{reason}."
        )
    return replace(promotion, state=to)
