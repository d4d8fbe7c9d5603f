"""Fill `Assignment.difference` from the sentences that releases before it kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import migrations, models, transaction

# The first word was "The vendor" or "Optimove", by release.
OWNER = " lists another customer or promotion than before."
REWARD = " lists another reward than before."
BATCH_SIZE = 5000
# The order of the index `assignment_why`, which holds the few rows with a reason.
NEWEST = -models.F("id")


def fill(apps: Any, _: Any, batch_size: int = BATCH_SIZE) -> None:
    """
    Fill the column in short transactions, so that workers wait for a batch at most.

    Rows that the release before this one writes in the meantime have the sentence only;
    the release that adds the column reads both.
    """
    model = apps.get_model("rewards", "Assignment")
    for reason, _label in model._meta.get_field("reason").flatchoices:
        for keys in _batches(model.objects.filter(reason=reason), batch_size):
            _fill_batch(model.objects.filter(pk__in=keys))


def _batches(rows: models.QuerySet[Any], batch_size: int) -> Iterator[list[int]]:
    ordered = rows.annotate(place=NEWEST).order_by("place").values_list("pk", flat=True)
    keys = list(ordered[:batch_size])
    while keys:
        yield keys
        keys = list(ordered.filter(place__gt=-keys[-1])[:batch_size])


def _fill_batch(rows: models.QuerySet[Any]) -> None:
    is_owner = models.Q(problem__contains=OWNER)
    differs = is_owner | models.Q(problem__contains=REWARD) | models.Q(reason="DIFFERS")
    with transaction.atomic():
        # Locked in the order in which workers lock rows, or one would be a deadlock's victim.
        locked = rows.filter(differs, difference="").order_by("pk")
        keys = list(
            locked.select_for_update(no_key=True).values_list("pk", flat=True)
        )
        rows.filter(pk__in=keys).update(
            difference=models.Case(
                models.When(is_owner, then=models.Value("OWNER")),
                default=models.Value("REWARD"),
            )
        )


class Migration(migrations.Migration):
    # Each batch commits by itself.
    atomic = False
    dependencies = [("rewards", "0017_difference")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
