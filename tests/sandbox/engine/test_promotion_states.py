"""The states Draft -> Active <-> Deactivated -> Archived."""

from __future__ import annotations

import pytest

from promoportal.sandbox import engine
from tests.sandbox.engine.people import promotion

State = engine.State
ALLOWED = {
    (State.DRAFT, State.ACTIVE),
    (State.ACTIVE, State.DEACTIVATED),
    (State.DEACTIVATED, State.ACTIVE),
    (State.DEACTIVATED, State.ARCHIVED),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("to", [State.ACTIVE, State.DEACTIVATED, State.ARCHIVED])
def test_a_promotion_makes_only_allowed_transitions(state: State, to: State) -> None:
    before = promotion(state=state)
    if (state, to) in ALLOWED:
        assert engine.moved(before, to).state is to
        assert before.state is state
    else:
        with pytest.raises(ValueError, match=f"'promo-1' is {state} and cannot become"):
            engine.moved(before, to)


def test_a_refused_transition_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"become Active; this state is final\."):
        engine.moved(promotion(state=State.ARCHIVED), State.ACTIVE)
    with pytest.raises(ValueError, match=r"it can become Active or Archived\."):
        engine.moved(promotion(state=State.DEACTIVATED), State.DEACTIVATED)


def test_the_tiers_are_the_same_in_every_state() -> None:
    draft = promotion(state=State.DRAFT)
    once_active = draft
    for to in (State.ACTIVE, State.DEACTIVATED, State.ARCHIVED):
        once_active = engine.moved(once_active, to)
        assert once_active.tiers is draft.tiers
