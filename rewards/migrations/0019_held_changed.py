from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # PostgreSQL builds an index without blocking writes only outside a transaction.
    atomic = False

    dependencies = [
        ('rewards', '0018_fill_difference'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='assignment',
            index=models.Index(-models.F('id'), condition=models.Q(('state', 'HELD'), models.Q(('difference', ''), _negated=True)), name='assignment_held_changed'),
        ),
    ]
