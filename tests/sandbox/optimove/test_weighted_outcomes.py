from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promoportal.sandbox import CATALOGUE
from promoportal.sandbox.optimove.sample_customers import Customer, generated
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED, Mix, decide

CUSTOMERS = st.builds(
    Customer,
    st.just("C1"),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1e6),
)
PROMOTIONS = st.sampled_from(list(CATALOGUE.values()))
MIXES = st.builds(
    Mix,
    st.floats(0, 1),
    st.dictionaries(st.text(min_size=1), st.floats(0.01, 10), min_size=1, max_size=5),
)


@given(CUSTOMERS, PROMOTIONS, MIXES)
def test_every_customer_gets_one_status_and_a_tier_only_if_assigned(
    customer: Customer, promotion: object, mix: Mix
) -> None:
    decision = decide(customer, promotion, mix)  # type: ignore[arg-type]

    assert (decision.tier is not None) == (customer.activity < mix.eligible)
    assert decision.status in {ASSIGNED, *mix.otherwise}


@given(CUSTOMERS)
def test_the_first_tier_that_matches_wins(customer: Customer) -> None:
    promotion = CATALOGUE["promo-17"]

    decision = decide(customer, promotion, Mix(eligible=1))

    assert decision.tier in promotion.tiers
    better = promotion.tiers[: promotion.tiers.index(decision.tier)]
    assert all(customer.deposits < tier.at_least for tier in better)


@given(st.integers(), st.integers(0, 50))
def test_the_same_seed_makes_the_same_customers(seed: int, count: int) -> None:
    assert list(generated(count, seed=seed)) == list(generated(count, seed=seed))


def test_about_the_requested_share_of_customers_is_eligible() -> None:
    mix = Mix(0.7, {"NotEligible": 3, "Failed": 1})

    promotion = CATALOGUE["promo-17"]
    statuses = [
        decide(customer, promotion, mix).status
        for customer in generated(10_000, seed=1)
    ]

    assert abs(statuses.count("Assigned") - 7_000) < 200
    assert abs(statuses.count("NotEligible") - 2_250) < 200
    assert abs(statuses.count("Failed") - 750) < 150
