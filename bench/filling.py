"""
Tables as after some months: `count` assignments, and the rows that belong to them.

SQL statements create all rows, a million in some minutes. Half of the assignments
belong to one execution. The newest execution is running, and many of its requests got
no response. Rare rows are among the oldest: a list that searches for them from the
newest row has to read all others. Values that are not rare fill a page even with ten
thousand rows. Otherwise, a full page would be compared with an empty page.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connection

from rewards.models import Assignment

EXECUTIONS = 20
# This execution has half of all assignments. Older executions have a quarter of them.
LARGEST = 10
TRIGGERED = 5
_SLICES = """
    CASE WHEN 4 * n < %(count)s THEN 1 + 36 * n / %(count)s
         WHEN 4 * n < 3 * %(count)s::bigint THEN 10
         ELSE least(20, 11 + 40 * (n - 3 * %(count)s::bigint / 4) / %(count)s) END
"""
_EMPTY = """
    TRUNCATE rewards_assignment, executions_execution, executions_campaign,
        executions_delivery, executions_listener, rewards_promotion,
        redemptions_report, rewards_retrial, django_admin_log, promoportal_census
        CASCADE
"""
_FEW = """
    INSERT INTO executions_campaign (id, reference, name)
        SELECT n, 'plan-' || n, 'Spring ' || n FROM generate_series(1, 5) AS n;
    INSERT INTO rewards_promotion (id, reference, code, redemption_mode, name)
        SELECT n, 'promotion-' || n, 'CODE' || n, '', 'Gift ' || n
        FROM generate_series(1, 5) AS n;
    INSERT INTO executions_execution
        (id, reference, campaign_id, kind, state, stop, reason, problem, opened_at)
        SELECT n, 1000 + n, 1 + n %% 5,
            CASE n WHEN 5 THEN 'TRIGGERED' ELSE 'SCHEDULED' END,
            CASE n WHEN 20 THEN 'ACTIVATING' ELSE 'SETTLED' END, 'NONE', '', '',
            now() - (20 - n) * interval '3 days'
        FROM generate_series(1, 20) AS n;
    INSERT INTO executions_listener
        (id, event_type, secret_digest, header_name, header_digest, networks)
        VALUES (1, 13, 'a', '', '', '{}'), (2, 11, 'b', '', '', '{}');
"""
_ASSIGNMENTS = f"""
    WITH sliced AS (
        SELECT n, {_SLICES} AS execution, 7 * n %% 1000 AS part
        FROM generate_series(1, %(count)s) AS n
    ), placed AS (
        SELECT *, CASE
            WHEN n <= 5 THEN 'VOID'
            WHEN execution = 20 AND part < 420 THEN 'OWED'
            WHEN execution = 20 AND part < 425 THEN 'ACTIVATING'
            WHEN execution = 20 AND part < 850 THEN 'UNCERTAIN'
            WHEN part < 45 THEN 'VOID'
            WHEN execution <= 10 AND part < 125 THEN 'HELD'
            ELSE 'ACTIVE' END AS state
        FROM sliced
    ), told AS (
        SELECT *, CASE
            WHEN n <= 5 THEN 'WRITTEN_OFF'
            WHEN state = 'VOID' AND part < 40 THEN 'NOT_ASSIGNED'
            WHEN state = 'VOID' THEN 'CANCELLED'
            WHEN state = 'HELD' AND part < 65 THEN 'UNANSWERED'
            WHEN state = 'HELD' AND part < 93 THEN 'DIFFERS'
            WHEN state = 'HELD' AND part < 97 THEN 'OVER_LIMIT'
            WHEN state = 'HELD' THEN 'REFUSED'
            ELSE '' END AS reason
        FROM placed
    )
    INSERT INTO rewards_assignment (
        id, state_since, not_before, lease_until, token, attempts, failures, reference,
        customer, as_assigned, vendor_status, meaning, reward, value, unit,
        unique_code, properties, assigned_at, listed_pass, state, reason, problem,
        repeated, cleared, doubtful, cancelled_too_late, key, "order", first_sent_at,
        receipt, evidence, malformed, deaths, owed_since, created_at, execution_id,
        promotion_id)
    SELECT n, at, at, CASE state WHEN 'ACTIVATING' THEN now() + interval '1 day' END,
        CASE state WHEN 'ACTIVATING' THEN gen_random_uuid() END, 1, 0, 'A' || n,
        'C' || lpad((n %% (%(count)s / 4))::text, 7, '0'),
        jsonb_build_object('assignmentId', 'A' || n, 'customerId', 'C' || n,
            'status', 'Assigned', 'campaignPlanId', 7, 'channelId', 505),
        'Assigned', CASE reason WHEN 'NOT_ASSIGNED' THEN 'nothing' ELSE 'activate' END,
        jsonb_build_object('type', 'Cash', 'value', '10', 'currency', 'EUR', 'tier',
            CASE WHEN n = %(count)s / 4 + 9 THEN 'Diamond' WHEN part < 300 THEN 'Silver'
            ELSE 'Gold' END), 10,
        'EUR', '', '{{}}', at, 1, state, reason,
        CASE reason WHEN 'REFUSED' THEN 'The account is closed.' ELSE '' END,
        false, true, state = 'UNCERTAIN' OR reason = 'UNANSWERED', n <= 5,
        gen_random_uuid(), '{{"amount": "10", "currency": "EUR"}}', at,
        CASE state WHEN 'ACTIVE' THEN 'R' || n ELSE '' END, '', 0, 0, at, at,
        execution, 1 + n / (%(count)s / 4)
    FROM told, LATERAL (
        SELECT now() - (20 - execution) * interval '3 days' - interval '1 hour' AS at
    ) AS times
    ORDER BY n
"""  # noqa: S608 - nothing in it comes from outside
_MOVES = """
    INSERT INTO {table}transition (row_id, before, after, at, why)
    SELECT row.id, move.before, move.after, row.state_since, ''
    FROM {table} AS row,
        (VALUES ('{first}', '{second}'), ('{second}', '{third}')) AS move (before, after)
    WHERE row.state IN ('{third}', 'HELD')
    ORDER BY row.id
"""
_ATTEMPTS = """
    INSERT INTO rewards_attempt
        (assignment_id, kind, number, begun_at, outcome, status, answer, duration_ms)
    SELECT id, 'ACTIVATE', 1, created_at, CASE state WHEN 'ACTIVE' THEN 'GIVEN'
        WHEN 'HELD' THEN 'REFUSED' ELSE 'UNANSWERED' END, 200, '{}', 40
    FROM rewards_assignment WHERE state IN ('ACTIVE', 'HELD', 'UNCERTAIN') ORDER BY id
"""
_REPORTS = """
    INSERT INTO redemptions_report
        (id, size, is_batch, token, begun_at, outcome, accepted, rejected, status, answer)
    SELECT n, 10, n > 5, gen_random_uuid(),
        now() - (%(count)s / 10 + 1 - n) * interval '60 days' / (%(count)s / 10),
        CASE WHEN n <= 3 THEN 'REFUSED' ELSE 'ACCEPTED' END, 10, 0, 200, ''
    FROM generate_series(1, %(count)s / 10 + 1) AS n ORDER BY n
"""
_REDEMPTIONS = """
    INSERT INTO redemptions_redemption (
        id, state_since, not_before, attempts, failures, reference, redeemed_at, mode,
        state, reason, problem, batch_limit, malformed, assignment_id, execution_id,
        report_id)
    SELECT id, created_at, created_at, 1, 0, gen_random_uuid(), created_at, 'SCHEDULED',
        state, CASE state WHEN 'HELD' THEN 'REFUSED' ELSE '' END, '', 0, 0, id,
        execution_id, CASE state WHEN 'WAITING' THEN NULL ELSE 1 + id / 10 END
    FROM (
        SELECT id, created_at, execution_id, CASE
            WHEN id < 100 AND id %% 10 = 0 THEN 'WRITTEN_OFF'
            WHEN execution_id <= 10 AND id %% 30 = 9 THEN 'HELD'
            WHEN execution_id > 10 AND id %% 15 = 9 THEN 'UNCERTAIN'
            WHEN execution_id = 20 THEN 'WAITING'
            ELSE 'REPORTED' END AS state
        FROM rewards_assignment WHERE rewards_assignment.state = 'ACTIVE') AS given
    ORDER BY id
"""
_DELIVERIES = """
    INSERT INTO executions_delivery (
        id, state_since, body, content_type, verdict, received_at, state, reason,
        problem, execution_id, attempts, listener_id)
    SELECT n, at, '\\x7b7d', 'application/json', '{}', at,
        CASE WHEN n <= 9 THEN 'HELD' WHEN n %% 100 = 99 THEN 'IGNORED' ELSE 'READ' END,
        CASE WHEN n <= 9 THEN 'UNREADABLE' ELSE '' END, '',
        CASE WHEN n <= 20 THEN n ELSE 5 END, 1, CASE WHEN n <= 20 THEN 1 ELSE 2 END
    FROM generate_series(1, %(count)s / 5) AS n, LATERAL (
        SELECT now() - (%(count)s / 5 - n) * interval '60 days' / (%(count)s / 5) AS at
    ) AS times ORDER BY n
"""
_TRIGGERS = """
    INSERT INTO executions_trigger (
        id, state_since, execution_id, customer, delivery_id, state, reason, problem,
        announced, attempts, not_before)
    SELECT id, received_at, 5, 'T' || id, id,
        CASE WHEN id <= 29 THEN 'HELD' ELSE 'DONE' END,
        CASE WHEN id <= 29 THEN 'NOT_LISTED' ELSE '' END, '', 1, 1, received_at
    FROM executions_delivery WHERE id > 20 ORDER BY id
"""
_COLLECTIONS = """
    INSERT INTO rewards_collection (
        id, state_since, not_before, attempts, failures, execution_id, state, reason,
        problem, again, number, finished, cursor, pages, seen, total, barren, restarts,
        empties, malformed, deaths, taken_back, waived, looks,
        seen_before)
    SELECT execution_id, max(created_at), now(), 1, 0, execution_id, 'DONE', '', '',
        false, 1, 1, '', 1 + count(*) / 1000, count(*), count(*), 0, 0, 0, 0, 0, false,
        '{}', 2, count(*)
    FROM rewards_assignment GROUP BY execution_id
"""
_RETRIALS = """
    INSERT INTO rewards_retrial
        (id, state, form, narrowed, by_id, why, total, done, left_alone)
    VALUES (1, 'DONE', gen_random_uuid(), 'state__exact is HELD', %(user)s, 'Mended.',
        %(count)s / 10, %(count)s / 10 - 5, 5);
    INSERT INTO rewards_retried (id, retrial_id, assignment_id, left_alone)
    SELECT n, 1, n, CASE WHEN n <= 5 THEN 'it moved on' ELSE '' END
    FROM generate_series(1, %(count)s / 10) AS n ORDER BY n
"""
_AUDIT_ENTRIES = """
    INSERT INTO django_admin_log (
        id, action_time, object_id, object_repr, action_flag, change_message,
        content_type_id, user_id)
    SELECT n, now() - (%(count)s / 10 - n) * interval '60 days' / (%(count)s / 10), n,
        'assignment A' || n, CASE WHEN n <= 9 THEN 15 ELSE 11 END,
        'Retry: The platform was down.', %(kind)s, %(user)s
    FROM generate_series(1, %(count)s / 10) AS n ORDER BY n
"""
_ORIGINS = """
    INSERT INTO promoportal_origin (entry_id, address)
    SELECT id, '192.0.2.1' FROM django_admin_log ORDER BY id
"""
# Rejected assignments; one in fifty has no response and is possibly activated. The
# executions are paused, so that retried rows are not sent.
_HELD = """
    UPDATE executions_execution SET stop = 'PAUSED';
    INSERT INTO rewards_assignment (
        id, state_since, not_before, attempts, failures, reference, customer,
        as_assigned, vendor_status, meaning, reward, value, unit, unique_code,
        properties, assigned_at, listed_pass, state, reason, problem, repeated, cleared,
        doubtful, cancelled_too_late, key, "order", first_sent_at, receipt, evidence,
        malformed, deaths, owed_since, created_at, execution_id, promotion_id)
    SELECT n, now(), now(), 1, 0, 'A' || n, 'C' || lpad(n::text, 7, '0'),
        jsonb_build_object('assignmentId', 'A' || n, 'customerId', 'C' || n,
            'status', 'Assigned', 'campaignPlanId', 7, 'channelId', 505),
        'Assigned', 'activate',
        '{"type": "Cash", "value": "10", "currency": "EUR", "tier": "Gold"}', 10,
        'EUR', '', '{}', now(), 1, 'HELD',
        CASE WHEN n %% 50 = 0 THEN 'UNANSWERED' ELSE 'REFUSED' END, '', false, true,
        n %% 50 = 0, false, gen_random_uuid(), '{"amount": "10", "currency": "EUR"}',
        now(), '', '', 0, 0, now(), now(), 1 + n * 20 / (%(count)s + 1), 1
    FROM generate_series(1, %(count)s::bigint) AS n ORDER BY n
"""


def fill(count: int, user: User) -> None:
    """Delete old rows. Create `count` assignments, and rows that belong to them."""
    kind = ContentType.objects.get_for_model(Assignment).pk
    given = _moves("rewards_assignment", "OWED", "ACTIVATING", "ACTIVE")
    reported = _moves("redemptions_redemption", "WAITING", "REPORTING", "REPORTED")
    statements = [
        *(_FEW, _ASSIGNMENTS, given, _ATTEMPTS, _REPORTS, _REDEMPTIONS, reported),
        *(_DELIVERIES, _TRIGGERS, _COLLECTIONS, _RETRIALS, _AUDIT_ENTRIES, _ORIGINS),
    ]
    _fill(statements, {"count": count, "user": user.pk, "kind": kind})


def fill_held(count: int) -> None:
    """Delete old rows. Create `count` assignments in `HELD` of paused executions."""
    _fill([_FEW, _HELD], {"count": count})


def _fill(statements: list[str], named: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        for statement in (_EMPTY, *statements):
            cursor.execute(statement, named)
        # The statements set the keys of the rows: set the sequences to higher values.
        models = apps.get_models()
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
        # Only these tables: open transactions can lock the catalogs of the server.
        cursor.execute(f"ANALYZE {', '.join(connection.introspection.table_names())}")


def _moves(table: str, first: str, second: str, third: str) -> str:
    return _MOVES.format(table=table, first=first, second=second, third=third)
