"""`manage.py demo` works without any setup."""

from __future__ import annotations

import email.policy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from bench.clusters import database_url
from executions.models import Campaign
from rewards.models import Collection, CollectionState, Promotion

ROOT = Path(__file__).resolve().parents[2]


def test_a_scenario_runs_from_optimove_to_the_report(
    transactional_db: None, tmp_path: Path
) -> None:
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "PORTAL_HOME": str(tmp_path),
        "LIST_AGAIN_AFTER_SECONDS": "1",
    }
    result = subprocess.run(
        [
            *(sys.executable, "manage.py", "demo", "--exit", "--json", "--port", "0"),
            *("--customers", "600"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["settled"] is True
    assert facts["active"] == facts["reported"] == facts["eligible"] > 0
    assert (facts["credits"], facts["most_credits"]) == (facts["eligible"], 1)
    assert (facts["held"], facts["uncertain"], facts["drift"]) == (0, 0, 0)
    assert re.search(r"WB23 .* of 8000\.00 EUR spent, .* of 1,100 codes", result.stderr)
    looked_again = Collection.objects.filter(looks__gt=0)
    assert looked_again
    assert all(
        collection.looks == 2 and collection.state == CollectionState.DONE
        for collection in looked_again
    )
    assert {row.called for row in Promotion.objects.all()} >= {
        "Welcome back bonus (promo-17)"
    }
    assert all(row.name for row in Campaign.objects.all())
    mails = list((tmp_path / "demo-mails").rglob("*.eml"))
    assert len(mails) == facts["mails"] > 0
    for mail in mails:
        message = email.message_from_bytes(
            mail.read_bytes(), policy=email.policy.default
        )
        assert message["To"]
        assert not message.defects
