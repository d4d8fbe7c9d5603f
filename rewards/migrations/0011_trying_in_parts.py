import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# Running bulk retries continue.
_LEFT = """
    INSERT INTO rewards_retrialpart (retrial_id, number, assignments)
    SELECT retrial_id, place / 500, array_agg(assignment_id ORDER BY assignment_id)
    FROM (
        SELECT retrial_id, assignment_id, row_number() OVER (
            PARTITION BY retrial_id ORDER BY assignment_id) - 1 AS place
        FROM rewards_retried WHERE NOT is_over) AS placed
    GROUP BY 1, 2;
    DELETE FROM rewards_retried WHERE NOT is_over;
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS ALL DEFERRED;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('rewards', '0010_foreseeing'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetrialPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('assignments', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('retrial', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='rewards.retrial')),
            ],
        ),
        migrations.AddConstraint(
            model_name='retrialpart',
            constraint=models.UniqueConstraint(fields=('retrial', 'number'), name='retrial_part_numbered'),
        ),
        migrations.RunSQL(_LEFT, migrations.RunSQL.noop),
        migrations.RemoveIndex(
            model_name='retried',
            name='retried_left',
        ),
        migrations.RemoveIndex(
            model_name='retried',
            name='retried_done',
        ),
        migrations.RemoveIndex(
            model_name='retried',
            name='retried_left_alone',
        ),
        migrations.RemoveField(
            model_name='retried',
            name='is_over',
        ),
        migrations.AddIndex(
            model_name='retried',
            index=models.Index(condition=models.Q(('left_alone', '')), fields=['retrial', 'id'], name='retried_done'),
        ),
        migrations.AddIndex(
            model_name='retried',
            index=models.Index(condition=models.Q(('left_alone', ''), _negated=True), fields=['retrial', 'id'], name='retried_left_alone'),
        ),
    ]
