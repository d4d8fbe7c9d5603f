"""What staff saw when they decided, and when an assignment changed last."""

from django.db import migrations, models

# State changes have their own time. `listed_pass` and `cleared` change with each run of
# the list, and do not matter to a decision. The trigger also sees the changes of the
# previous release. Statements that set none of these columns do not start it.
MATTERS = (
    *("as_assigned", "reward", "value", "unit", "unique_code", "meaning"),
    *("vendor_status", "reason", "difference", "repeated", "doubtful"),
    *("cancelled_too_late", "evidence"),
)
CREATE = f"""
    CREATE FUNCTION rewards_assignment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.changed_at := statement_timestamp();
        NEW.told_at := NULL;
        RETURN NEW;
    END $$;

    CREATE TRIGGER rewards_assignment_changed
        BEFORE UPDATE OF {", ".join(f'"{name}"' for name in MATTERS)}
        ON rewards_assignment FOR EACH ROW
        WHEN ({" OR ".join(f'OLD."{name}" IS DISTINCT FROM NEW."{name}"' for name in MATTERS)})
        EXECUTE FUNCTION rewards_assignment_changed();
"""
DROP = "DROP FUNCTION rewards_assignment_changed() CASCADE"


class Migration(migrations.Migration):

    dependencies = [
        ('rewards', '0019_held_changed'),
    ]

    operations = [
        migrations.AddField(
            model_name='assignment',
            name='changed_at',
            field=models.DateTimeField(help_text="The last change that matters, except for the state's.", null=True),
        ),
        migrations.AddField(
            model_name='assignment',
            name='confirmed',
            field=models.JSONField(blank=True, help_text="The reasons that staff approved, each with the reward's worth.", null=True),
        ),
        migrations.AddField(
            model_name='assignment',
            name='told_at',
            field=models.DateTimeField(help_text='When staff told CRM what changed after the activation.', null=True),
        ),
        migrations.AddField(
            model_name='proposal',
            name='version',
            field=models.CharField(blank=True, db_default='', default='', help_text='The version of the assignment that the first user decided about.', max_length=200),
        ),
        migrations.AddField(
            model_name='retrial',
            name='begun_as',
            field=models.TextField(blank=True, db_default='', default='', help_text='The figures at the start.'),
        ),
        migrations.AddField(
            model_name='retrial',
            name='confirmed_as',
            field=models.TextField(blank=True, db_default='', default='', help_text='The figures as confirmed.'),
        ),
        migrations.AddField(
            model_name='retrial',
            name='confirmed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='retrial',
            name='newest',
            field=models.BigIntegerField(help_text='The highest key of an assignment when it was confirmed.', null=True),
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
