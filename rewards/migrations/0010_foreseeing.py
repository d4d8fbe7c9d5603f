import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('executions', '0002_listing'),
        ('rewards', '0009_revealing'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='assignment',
            index=models.Index(models.F('execution'), django.db.models.expressions.CombinedExpression(models.F('id'), '*', models.Value(-1)), condition=models.Q(('doubtful', True)), name='assignment_of_execution_doubt'),
        ),
        migrations.AddIndex(
            model_name='assignment',
            index=models.Index(models.F('execution'), django.db.models.expressions.CombinedExpression(models.F('id'), '*', models.Value(-1)), condition=models.Q(('cancelled_too_late', True)), name='assignment_of_execution_late'),
        ),
    ]
