"""`python -m bench.chaos`: the arguments of the fault test, and its output."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bench.chaos import (
    FaultTest,
    SystemUnderTest,
    Verdict,
    judge,
    previous_release,
    settle,
)
from bench.chaos.campaign_plan import CampaignPlan

_CAPABILITIES = ("idempotent,askable", "idempotent", "askable", "neither")


class Command(BaseCommand):
    help = "Kill and freeze processes and break calls under load, then count credits."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--rewards", type=int, default=3_000, help="approximate number of rewards"
        )
        parser.add_argument(
            "--seconds",
            type=float,
            default=60,
            help="duration of the faults, in seconds",
        )
        parser.add_argument(
            "--seed", type=int, default=7, help="each seed draws other faults"
        )
        parser.add_argument(
            "--patience",
            type=float,
            default=120,
            help="time to finish all work, in seconds",
        )
        parser.add_argument(
            "--capability",
            choices=_CAPABILITIES,
            default=_CAPABILITIES[0],
            help="PLATFORM_CAPABILITY of the test",
        )
        parser.add_argument(
            "--wrong-queue",
            action="store_true",
            help="misconfigure the queue: jobs are redelivered and killed while they run",
        )
        parser.add_argument(
            "--previous",
            metavar="REVISION",
            help="Git revision that the second host runs (default: the newest tag, "
            "or the parent of the current commit; none: the present code)",
        )
        parser.add_argument(
            "--home",
            type=Path,
            help="folder for its files (default: below PORTAL_HOME)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print the result as one line of JSON"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The fault test is for development: set DEBUG=true.")
        logging.getLogger("promoportal.wire").setLevel(logging.ERROR)
        verdict = self._run(options)
        if options["json"]:
            self.stdout.write(json.dumps(verdict.as_json()))
        else:
            self.stdout.write(_text(verdict))
        if not verdict.is_clean:
            raise CommandError(
                "The fault test found problems: see above.", returncode=1
            )
        if not verdict.is_settled:
            msg = f"Not all was done {options['patience']:g} s after the last fault."
            if verdict.is_slow:
                msg = "After an outage of the database, the rate was not back in time."
            raise CommandError(msg, returncode=1)

    def _run(self, options: dict[str, Any]) -> Verdict:
        home = options["home"] or _new_home()
        if home.exists() and any(home.iterdir()):
            msg = f"{home} is not empty. Each fault test needs an empty folder."
            raise CommandError(msg)
        home = home.resolve()
        rewards, seconds = options["rewards"], options["seconds"]
        arguments = {name: options[name] for name in ("capability", "wrong_queue")}
        if seconds:
            arguments["variables"] = CampaignPlan(rewards, seconds).variables
            arguments |= self._previous(options["previous"], home)
        with SystemUnderTest(home, **arguments) as stage:
            test = FaultTest(stage, options["seed"], rewards, seconds)
            self.stderr.write(f"Breaking things for {options['seconds']:.0f} s ...")
            test.run()
            test.end_faults()
            self.stderr.write("No more faults. Waiting until all work is done ...")
            patience = options["patience"]
            seconds = settle(stage, test, patience=patience)
            return judge(stage, test, seconds, patience=patience)

    def _previous(self, revision: str | None, home: Path) -> dict[str, Any]:
        """Return the code of the second host: the previous release's, if possible."""
        if revision == "none":
            return {}
        try:
            revision = revision or previous_release.default_revision()
            manage = previous_release.extract(revision, home / "previous")
        except previous_release.NotInClone as error:
            self.stderr.write(f"{error} Both hosts run the present code.")
            return {}
        self.stderr.write(f"The second host runs the code of {revision}.")
        return {"second_host": manage}


def _new_home() -> Path:
    settings.PORTAL_HOME.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="chaos-", dir=settings.PORTAL_HOME))


def _text(verdict: Verdict) -> str:
    lines = [f"  {count:>7,}  {name}" for name, count in verdict.blows.items()]
    figures = verdict.as_json()
    figures.pop("blows")
    figures["held_why"] = figures["held_why"] or "-"
    figures["recovered"] = _longest(verdict.recovered)
    figures["recoveries"] = ", ".join(
        f"{kind}: {'-' if seconds is None else f'{seconds:g} s'}"
        for kind, seconds in figures["recoveries"]
    )
    lines += [f"{name:<18}{value!s:>10}" for name, value in figures.items()]
    return "\n".join(["What happened:", *lines])


def _longest(recovered: list[float | None]) -> str:
    if not recovered:
        return "-"
    known = [each for each in recovered if each is not None]
    return f"{max(known):g} s" if len(known) == len(recovered) else "not in time"


def main() -> None:
    """Run the command. `manage.py` lacks it: production does not install `bench`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    Command().run_from_argv(["python -m", "bench.chaos", *sys.argv[1:]])


if __name__ == "__main__":
    main()
