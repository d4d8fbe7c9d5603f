"""The state of the sandbox, as JSON for `/control/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from promoportal.sandbox.optimove.accepted_redemptions import Redemptions
from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.optimove.occurrences import Occurrence
from promoportal.sandbox.optimove.promotion_usage import Offer
from promoportal.sandbox.optimove.tenant import Planned, Tenant
from promoportal.sandbox.simulation import Sandbox

_LAST = 20


def state(sandbox: Sandbox) -> dict[str, object]:
    """Return a summary of the whole sandbox."""
    limit, notices = sandbox.limit, sandbox.notices
    tenant = sandbox.tenant
    return {
        "scenario": scenario(tenant) if tenant else None,
        "campaigns": campaigns(tenant) if tenant else [],
        "promotions": [
            offer(one, sandbox.redemptions) for one in (tenant.offers if tenant else ())
        ],
        "planned": [planned(one) for one in tenant.planned] if tenant else [],
        "occurrences": [
            _full(one, tenant.executions if tenant else {}) for one in sandbox.campaigns
        ],
        "codes": dict(sandbox.external.promotions),
        "listeners": [
            {"event": one.event, "channel": one.channel, "to": one.shown}
            for one in sandbox.listeners.all()
        ],
        "rate": {
            "calls": limit.total,
            "refused": limit.refused,
            "most_in_any_window": limit.most,
            "limit": limit.calls,
            "seconds": limit.seconds,
        },
        "notices": {"posted": len(notices.posted), "pending": notices.pending},
        "platform": {
            "capability": sandbox.platform.capability,
            "credits": len(sandbox.platform.ledger.credits),
            "refused": dict(sandbox.platform.refused),
        },
        "faults": [fault.shown() for fault in sandbox.faults.waiting()],
        "calls": [call._asdict() for call in list(sandbox.calls)[-_LAST:]],
    }


def scenario(tenant: Tenant) -> dict[str, object]:
    scenario = tenant.scenario
    return {
        "title": scenario.title,
        "about": scenario.about,
        "seed": scenario.seed,
        "customers": len(scenario.population),
        "events": sorted({one.event for one in scenario.campaigns if one.event}),
    }


def campaigns(tenant: Tenant) -> list[dict[str, object]]:
    return [
        {
            "plan": one.plan,
            "name": one.name,
            "target_group": {"id": one.target_group.id, "name": one.target_group.name},
            "promotions": one.promotions,
            "channels": one.channels,
            "event": one.event,
            "at": None if one.at is None else one.at.isoformat(),
            "email": None if one.email is None else one.email.subject,
            "executed": [
                execution.occurrence.id
                for execution in tenant.executions.values()
                if execution.campaign is one
            ],
        }
        for one in tenant.scenario.campaigns
    ]


def planned(one: Planned) -> dict[str, object]:
    return {"plan": one.plan, "at": one.at.isoformat()}


def offer(one: Offer, redemptions: Redemptions) -> dict[str, object]:
    """Return a promotion with its limits and their usage."""
    promotion, account = one.promotion, one.account
    budget, cap, codes = promotion.budget, promotion.cap, promotion.unique_codes
    recipients = account.recipients
    redeemed = redemptions.by_promotion[promotion.id]
    return {
        "id": promotion.id,
        "code": promotion.code,
        "name": promotion.name,
        "state": promotion.state,
        "tiers": [tier.name for tier in promotion.tiers],
        "budget": budget
        and {
            "category": budget.category,
            "measure": budget.measure,
            "total": str(budget.total),
            "spent": str(account.spent),
        },
        "cap": cap
        and {
            "recipients": cap.recipients,
            "timeframe": cap.timeframe,
            "used": cap.used(account),
        },
        "codes": codes
        and {
            "total": len(codes.codes),
            "used": account.codes_used,
            "fallback": codes.fallback,
        },
        "recipients": recipients,
        "redeemed": redeemed,
        "redemption_rate": redeemed / recipients if recipients else None,
    }


def execution(one: Execution) -> dict[str, object]:
    """Return an execution of a scenario's campaign with its steps."""
    return {
        **occurrence(one.occurrence),
        "plan": one.campaign.plan,
        "campaign": one.campaign.name,
        "event": one.trigger_event.name if one.trigger_event else None,
        "targeted": len(one.audience),
        "went_on": len(one.audience.going),
        "mails": asdict(one.mailed),
        "steps": [asdict(step) for step in one.steps],
        "problem": one.problem,
        "over": one.over,
    }


def occurrence(one: Occurrence) -> dict[str, object]:
    return {
        "occurrence": one.id,
        "series": one.series,
        "channels": one.channels,
        "triggered": one.triggered,
        "cancelled": one.cancelled,
        "listed": len(one.rows),
        "statuses": {name: count for name, count in one.statuses.items() if count},
    }


def _full(one: Occurrence, executions: Mapping[str, Execution]) -> dict[str, object]:
    known = executions.get(one.id)
    return execution(known) if known else occurrence(one)
