"""What keeps the census: see promoportal/census.py."""

from __future__ import annotations

from django.db import migrations

# One row for each way in which a statement changed the sums.
COUNT = """
    CREATE FUNCTION promoportal_count_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO promoportal_census (kind, {keys}, count, value)
            SELECT '{kind}', {keys}, count(*), sum({value}) FROM came GROUP BY {keys};
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO promoportal_census (kind, {keys}, count, value)
            SELECT '{kind}', {keys}, -count(*), -sum({value}) FROM went GROUP BY {keys};
        ELSE
            INSERT INTO promoportal_census (kind, {keys}, count, value)
            SELECT '{kind}', {keys}, sum(more), sum(worth)
            FROM (
                SELECT {keys}, 1 AS more, {value} AS worth FROM came
                UNION ALL
                SELECT {keys}, -1, -{value} FROM went
            ) AS moved
            GROUP BY {keys}
            HAVING sum(more) <> 0 OR sum(worth) <> 0;
        END IF;
        RETURN NULL;
    END $$;

    CREATE TRIGGER promoportal_count_insert AFTER INSERT ON {table}
        REFERENCING NEW TABLE AS came
        FOR EACH STATEMENT EXECUTE FUNCTION promoportal_count_{table}();
    CREATE TRIGGER promoportal_count_update AFTER UPDATE ON {table}
        REFERENCING OLD TABLE AS went NEW TABLE AS came
        FOR EACH STATEMENT EXECUTE FUNCTION promoportal_count_{table}();
    CREATE TRIGGER promoportal_count_delete AFTER DELETE ON {table}
        REFERENCING OLD TABLE AS went
        FOR EACH STATEMENT EXECUTE FUNCTION promoportal_count_{table}();

    INSERT INTO promoportal_census (kind, {keys}, count, value, at, folded)
    SELECT '{kind}', {keys}, count(*), sum({value}), date_trunc('hour', state_since), 3600
    FROM {table} GROUP BY {keys}, date_trunc('hour', state_since);
"""
STOP = "DROP FUNCTION promoportal_count_{table}() CASCADE"

ASSIGNMENTS = {
    "kind": "ASSIGNMENT",
    "table": "rewards_assignment",
    "keys": "execution_id, meaning, state, reason, unit",
    "value": "coalesce(value, 0)",
}
REDEMPTIONS = {
    "kind": "REDEMPTION",
    "table": "redemptions_redemption",
    "keys": "execution_id, state, reason",
    "value": "0",
}


class Migration(migrations.Migration):
    dependencies = [
        ("promoportal", "0006_census"),
        ("rewards", "0006_retrying"),
        ("redemptions", "0002_export"),
    ]
    operations = [
        migrations.RunSQL(COUNT.format(**rows), STOP.format(**rows))
        for rows in (ASSIGNMENTS, REDEMPTIONS)
    ]
