"""The words that the project does not use, with their replacements and exceptions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

MAX_WORDS = 25
MAX_WORDS_OF_LABEL = 4
# Literals that are SQL, Python, TOML, CSS or names.
IS_CODE = re.compile(
    r"\b(SELECT|INSERT|UPDATE|CREATE|WHERE|FROM|CASE WHEN)\b|(?m:^import |^\w+ = )"
    r"|[{};]\s*$|^[\w./:-]+$"
)
# A docstring or a heading that begins so does not say what it is about.
IS_RIDDLE = re.compile(
    r"(What|Whose|Whether|How|Where|That|Who|Whoever|Whom|Which|When|Why)\b"
)
_NAMES = re.compile(
    r"\b(Optimove|CSV|IDs?|APIs?|HTTP|URLs?|IP|PostgreSQL|JSON|CRM|UTC|[A-Z_]+_[A-Z_]+)\b"
)
FORBIDDEN = {
    "anew": "again",
    "lately": "recently",
    "meanwhile": "in the meantime, since then",
    "whom|whereof|thereof|ere": "rewrite the sentence",
    "whoever|whichever": "name the subject",
    "whose bonus": "Find a customer",
    "somebody|nobody": "name the role, or “No …”",
    "needs? a person|a person": "needs review; name the role",
    "held|held for staff": "needs review; a lock is taken, a row is kept",
    "ow(?:e|es|ed|ing)": "pending",
    "in doubt|doubtful": "possibly activated; outcome unknown",
    "far sides?": "Optimove, the platform; integration",
    r"vendor(?!\.md)": "Optimove",
    "notices?": "webhook, notification",
    "deeds?": "action",
    "retrials?": "bulk retry",
    "tried again|tries again|try again all|try (?:it|them|these) again": "retry",
    "all that match": "all matching",
    "left alone": "skipped",
    "moved on": "changed",
    "nothing was done": "No changes were made.",
    "tak(?:e|en) back": "cancelled",
    "let go": "approved, resumed",
    "void": "no reward",
    "what became of": "outcome, result",
    "under way": "running, in progress",
    "at work": "running",
    "how far": "progress",
    "not before": "scheduled for",
    "(?:no|had no) answer": "no response",
    "(?:was|is|being|be) told": "reported",
    "was given|given all": "activated",
    "mend(?:s|ed|ing)?": "correct, fix",
    "books": "records",
    "press(?! ctrl)": "choose, select",
    "for good": "This cannot be undone.",
    "so many|so much": "name the number",
    "poison": "repeated crash",
    "dies|died|deaths?": "stopped, crashed; crashes",
    "wakes?|wake-ups?": "starts",
    "tick|ticks|ticked": "scheduler",
    "storms?": "fault test",
    "bad days?": "faults",
    "(?:a|your|the|our) desk|desk's": "development, local machine",
}


@cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)


def found(text: str) -> list[tuple[str, str]]:
    """
    Return each forbidden word of a text with its replacement.

    Text in backticks is code, and a word in capitals is a value of the database.
    """
    plain = re.sub(r"``?[^`]*``?", " ", text)
    return [
        (match[0].lower(), better)
        for words, better in FORBIDDEN.items()
        for match in [_pattern(words).search(plain)]
        if match and not match[0].isupper()
    ]


def is_wrong_label(label: str) -> bool:
    """Return whether a label is long, has capitals inside, or ends like a sentence."""
    rest = _NAMES.sub("name", label)[1:]
    is_long = len(label.split()) > MAX_WORDS_OF_LABEL
    return is_long or label.endswith(".") or any(map(str.isupper, rest))


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; headings, tables and code are left out."""
    text = re.sub(r"^\s*(?:#|\||<|!\[|- \[).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", re.sub(r"\]\([^)]*\)", "]", text))
    paragraphs = re.split(r"\n\s*\n|\n\s*(?:[-*>]|\d+\.)\s", text)
    return [
        " ".join(sentence.split())
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[.?!:;])\s+", paragraph)
        if sentence.strip()
    ]


# --- Exceptions ------------------------------------------------------------------------

# Stand for a whole text in place of a word.
LABEL, SENTENCE, HEADING = "(label)", "(sentence)", "(heading)"


@dataclass(frozen=True)
class Allowed:
    """Words that the texts of one place may keep."""

    where: str
    words: frozenset[str]
    because: str

    def fits(self, where: str, word: str) -> bool:
        is_here = re.match(rf"{re.escape(self.where)}(?![\w-])", where)
        return word in self.words and is_here is not None


def _allowed(because: str, places: dict[str, str]) -> tuple[Allowed, ...]:
    return tuple(
        Allowed(where, frozenset(words.split(", ")), because)
        for where, words in places.items()
    )


EXCEPTIONS = (
    *_allowed(
        "It quotes the labels of the earlier release.",
        {"CHANGELOG.md": "held, no answer, nobody, was given"},
    ),
    *_allowed(
        "It names the section after the reader's question.",
        {"README.md": HEADING},
    ),
    *_allowed(
        "It explains the name that the code uses.",
        {"docs/architecture.md": "tick"},
    ),
    *_allowed(
        "Programs compare the value.",
        {
            "promoportal/operations/health.py": "tick",
            "promoportal/sandbox/control/api.py": "notices",
        },
    ),
    *_allowed(
        "Django chose the label.",
        {
            "README.md": "(heading)",
            "admin.LogEntry page": "(label)",
            "auth.User page": "(label)",
        },
    ),
    # The texts of the staff pages are rewritten together with the pages.
    *_allowed(
        "It is a text of the staff pages.",
        {
            "executions.Delivery page": "(label), held",
            "executions.Execution page": (
                "(label), for good, held, in doubt, notice, owed, void"
            ),
            "executions.Listener page": "(label)",
            "executions.Listener.event_type": "(label)",
            "executions.Trigger page": "(label), held",
            "executions.Trigger.not_before": "not before",
            "executions/admin/deliveries.py": "held",
            "executions/admin/executions.py": (
                "for good, held, in doubt, notice, notices, owed, somebody, void"
            ),
            "executions/admin/replay_preview.py": (
                "for good, held, left alone, somebody, try it again"
            ),
            "executions/admin/triggers.py": "held",
            "executions/notices.py": "notice",
            "promoportal.Allowance page": "(label), lately",
            "promoportal.Allowance.not_before": "not before",
            "promoportal.Breaker page": "far side",
            "promoportal/admin/action_views.py": "moved on, nothing was done",
            "promoportal/admin/actions.py": "left alone",
            "promoportal/admin/alerts.py": "needs a person",
            "promoportal/admin/audit_log.py": "all that match",
            "promoportal/admin/display_name_form.py": "nothing was done",
            "promoportal/admin/saved_filter_views.py": "nothing was done",
            "promoportal/admin/session_expiry.py": "meanwhile, nothing was done",
            "promoportal/admin/site.py": "far sides, needs a person",
            "promoportal/dashboard/customers.py": "in doubt, owed",
            "promoportal/dashboard/execution_funnel.py": (
                "held, no answer, owed, so many, somebody, taken back"
            ),
            "promoportal/dashboard/integration_status.py": "far side, lately",
            "promoportal/dashboard/next_step_panel.py": "not before",
            "promoportal/dashboard/overview.py": "far sides, how far, notice, under way",
            "promoportal/dashboard/progress_column.py": "held, how far",
            "promoportal/dashboard/replay_impact.py": (
                "held, in doubt, owed, so many, under way, void"
            ),
            "promoportal/db/display_names.py": "anew, nobody, nothing was done",
            "promoportal/operations/next_step.py": (
                "a person, be told, being told, books, mend, mends, nobody, "
                "so much, somebody, tried again, was given, was told, "
                "what became of"
            ),
            "redemptions.Redemption": "held",
            "redemptions.Redemption page": "(label), be told, had no answer, held",
            "redemptions.Redemption.batch_limit": "so many",
            "redemptions.Redemption.not_before": "not before",
            "redemptions.Report page": "(label)",
            "redemptions/admin/assignment_panels.py": "under way",
            "redemptions/admin/redemptions.py": "be told, had no answer, held",
            "redemptions/admin/reports.py": "under way",
            "redemptions/decisions.py": "held",
            "redemptions/in_doubt.py": "died, no answer",
            "redemptions/models.py": "held, so many",
            "redemptions/report_outcomes.py": "tried again",
            "rewards.Assignment": "doubtful, held, was given",
            "rewards.Assignment page": (
                "(label), books, doubtful, given all, had no answer, held, "
                "nobody, tried again"
            ),
            "rewards.Assignment.deaths": "deaths, died",
            "rewards.Assignment.doubtful": "doubtful",
            "rewards.Assignment.not_before": "not before",
            "rewards.Assignment.owed_since": "owed",
            "rewards.Assignment.reward": "owed",
            "rewards.Assignment.vendor_status": "vendor",
            "rewards.Collection page": "(label), held",
            "rewards.Collection.again": "under way",
            "rewards.Collection.cleared_to": "let go",
            "rewards.Collection.deaths": "deaths",
            "rewards.Collection.not_before": "not before",
            "rewards.Collection.taken_back": "taken back",
            "rewards.Collection.waived": "a person, let go",
            "rewards.Promotion page": "(label)",
            "rewards.Retrial": "retrial, retrials",
            "rewards.Retrial page": "(label), how far, retrial, tried again",
            "rewards.Retrial.left_alone": "left alone",
            "rewards.RetrialPart": "retrial",
            "rewards.RetrialPart.retrial": "retrial",
            "rewards.RetrialTransition": "retrial",
            "rewards.Retried page": "(label), left alone, retrial, what became of",
            "rewards.Retried.left_alone": "left alone",
            "rewards.Retried.retrial": "retrial",
            "rewards/activation/deadlines.py": "died, what became of",
            "rewards/activation/in_doubt.py": "in doubt",
            "rewards/activation/outcomes.py": (
                "no answer, tried again, was given, what became of"
            ),
            "rewards/admin/assignment_actions.py": (
                "books, given all, held, nobody, tried again"
            ),
            "rewards/admin/assignments.py": (
                "doubtful, had no answer, held, in doubt, owed, taken back"
            ),
            "rewards/admin/attempt_timeline.py": "under way",
            "rewards/admin/bulk_retries.py": (
                "all that match, how far, left alone, nothing was done, owed, "
                "retrial, tried again, under way, what became of"
            ),
            "rewards/admin/bulk_retry_preview.py": (
                "all that match, in doubt, left alone, tried again"
            ),
            "rewards/admin/collections.py": "held",
            "rewards/approvals.py": "nobody",
            "rewards/collection/changes.py": "nobody",
            "rewards/collection/fetch_runs.py": "held, nobody",
            "rewards/collection/ingest.py": "held, moved on",
            "rewards/models/assignment.py": "died, doubtful, held, owed, was given",
            "rewards/models/collection.py": "a person, let go, under way",
            "rewards/models/retrial.py": "retrial",
            "rewards/obstacles.py": "held, in doubt, press, was given",
            "rewards/transitions.py": "in doubt, meanwhile, taken back, was given",
            "templates/403.html": "nothing was done",
            "templates/403_csrf.html": "anew, nothing was done",
            "templates/500.html": "what became of",
            "templates/admin/bulk_retry.html": (
                "how far, left alone, tried again, try them again"
            ),
            "templates/admin/confirm_action.html": "left alone, nothing was done",
            "templates/admin/customer_reward.html": "not before",
            "templates/admin/customer_search.html": "whom",
            "templates/admin/index.html": "lately, needs a person, whose bonus",
            "templates/admin/object_history.html": "nobody",
            "templates/admin/panel.html": "try these again",
        },
    ),
)
