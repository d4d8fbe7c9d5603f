"""The states Draft -> Active <-> Deactivated -> Archived, and the freezing of tiers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promoportal.sandbox import engine
from tests.sandbox.engine.people import euros, promotion, tier

Move = Callable[[engine.Promotion], engine.Promotion]
MOVES: list[Move] = [engine.activate, engine.deactivate, engine.archive]
ALLOWED: dict[tuple[engine.State, Move], engine.State] = {
    (engine.State.DRAFT, engine.activate): engine.State.ACTIVE,
    (engine.State.ACTIVE, engine.deactivate): engine.State.DEACTIVATED,
    (engine.State.DEACTIVATED, engine.activate): engine.State.ACTIVE,
    (engine.State.DEACTIVATED, engine.archive): engine.State.ARCHIVED,
}
OTHERS = (tier("gold", euros("5")),)


@pytest.mark.parametrize("state", engine.State)
@pytest.mark.parametrize("move", MOVES)
def test_a_promotion_makes_only_allowed_transitions(
    state: engine.State, move: Move
) -> None:
    before = promotion(state=state)
    if (state, move) in ALLOWED:
        assert move(before).state is ALLOWED[state, move]
        assert before.state is state
    else:
        with pytest.raises(ValueError, match=f"'promo-1' is {state} and cannot become"):
            move(before)


def test_a_refused_transition_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"Archived it can become nothing else"):
        engine.activate(promotion(state=engine.State.ARCHIVED))
    with pytest.raises(ValueError, match=r"it can become Active or Archived\."):
        engine.deactivate(promotion(state=engine.State.DEACTIVATED))


def test_a_draft_may_get_other_tiers() -> None:
    changed = engine.with_tiers(promotion(state=engine.State.DRAFT), OTHERS)

    assert changed.tiers == OTHERS
    assert not changed.frozen


@pytest.mark.parametrize("moves", [MOVES[:1], MOVES[:2], MOVES])
def test_tiers_are_frozen_from_the_first_activation_on(moves: list[Move]) -> None:
    once_active = promotion(state=engine.State.DRAFT)
    for move in moves:
        once_active = move(once_active)

    with pytest.raises(ValueError, match="frozen when it was first activated"):
        engine.with_tiers(once_active, OTHERS)


def test_a_promotion_that_starts_active_has_frozen_tiers() -> None:
    with pytest.raises(ValueError, match="frozen"):
        engine.with_tiers(promotion(), OTHERS)
