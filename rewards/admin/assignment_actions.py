"""Actions of staff on assignments, each with the permission that it needs."""

from __future__ import annotations

from executions.models import ExecutionStop
from promoportal.admin.actions import Action, Actions
from promoportal.admin.sensitive_fields import Reveal, hidden
from rewards import approvals, decisions, obstacles
from rewards.models import Assignment, Proposal

# Fields that may contain a code or Optimove's data about a customer.
CODES = Reveal(
    Assignment,
    "rewards.reveal_assignment",
    "Show sensitive data",
    said=("shows its code and payloads", "show their codes and payloads"),
    instead={
        "unique_code": "masked_code",
        "vendors_row": hidden("the row"),
        "what_is_sent": hidden("what is sent", lambda row: row.order),
    },
)


def _stop(row: Assignment) -> ExecutionStop:
    return ExecutionStop(row.execution.stop)


OFFERED = Actions(
    (
        Action(
            "retry",
            "Retry",
            "rewards.retry_assignment",
            decisions.retry,
            said=("will be tried again", "will be tried again"),
            fits=lambda row: not obstacles.to_retry(row, _stop(row)),
            for_support=True,
        ),
        Action(
            "release",
            "Approve",
            "rewards.decide_assignment",
            decisions.release,
            said=("will be given all the same", "will be given all the same"),
            warning="The customer gets what was held because nobody may have meant it: "
            "a second reward, one past a limit, or one that Optimove changed. Say so "
            "only if CRM says that it is meant.",
            fits=lambda row: not obstacles.to_approval(row, _stop(row)),
        ),
        Action(
            "given",
            "Mark as activated",
            "rewards.decide_assignment",
            decisions.given,
            said=("counts as given now", "count as given now"),
            warning="It becomes active, is never sent to the platform again, and is "
            "reported to Optimove. Say so only if the platform's own books show that "
            "the customer has it.",
            fits=lambda row: not obstacles.to_saying(row),
            # A credit in the platform's records stays there, also when the request
            # cannot arrive any more.
            about=["row"],
            proposes=Proposal.Says.GIVEN,
        ),
        Action(
            "not_given",
            "Mark as not activated",
            "rewards.decide_assignment",
            decisions.not_given,
            said=("is marked as not activated", "are marked as not activated"),
            warning="It is sent to the platform again. If the customer has it already, "
            "they get it twice: say so only if the platform's own books show that they "
            "do not.",
            fits=lambda row: not obstacles.to_saying(row),
            proposes=Proposal.Says.NOT_GIVEN,
        ),
        Action(
            "write_off",
            "Write off",
            "rewards.write_off_assignment",
            decisions.write_off,
            said=("is written off", "are written off"),
            warning="The reward will not be given: nothing tries it again.",
            fits=lambda row: not obstacles.to_writing_off(row),
        ),
        Action(
            "tell",
            "CRM knows",
            "rewards.decide_assignment",
            decisions.tell,
            said=("is marked as known to CRM", "are marked as known to CRM"),
            fits=lambda row: not obstacles.to_telling(row),
            is_only_logged=True,
        ),
        CODES.action,
    ),
    proposed=approvals.said_by,
)
