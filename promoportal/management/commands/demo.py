"""`manage.py demo`: run campaigns from the webhook to the redemption, locally."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from promoportal.admin import roles
from promoportal.management import scenario_options
from promoportal.management.base_command import PortalCommand
from promoportal.management.commands.run import migrate
from promoportal.management.demo_run import Demo
from promoportal.operations.reconciliation import Reconciled
from promoportal.runtime.ports import Ports, free_port

# Seconds without progress after which the demo gives up.
_STALLED = 120.0
_ONCE_MORE = (
    "All rewards are reported. Fetching each list once more for late entries ..."
)
_BAR = 30
# Values that only make sense for one execution, so the demo does not print them.
_ONE_EXECUTION = ("occurrence", "reports_held")


class Command(PortalCommand):
    help = (
        "Run the portal with a simulated Optimove and platform, and show how a "
        "campaign's rewards are activated and reported."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--scenario", default="welcome_back", help=scenario_options.known()
        )
        scenario_options.add_arguments(parser)
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="port of the portal (a free port is used if it is 0 or taken)",
        )
        parser.add_argument(
            "--exit", action="store_true", help="exit when all rewards are processed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo creates fake customers and users. It only runs with "
                "DEBUG=true."
            )
        scenario_options.chosen(options["scenario"], options)
        # With --json, stdout is for JSON only.
        self._output = self.stderr if options["json"] else self.stdout
        # Calls fail while the processes start, so do not log these failures.
        logging.getLogger("promoportal.wire").setLevel(logging.WARNING)
        settings.PORTAL_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrate()
        facts = self._run(options)
        self.say(options, "Demo stopped.", **facts)
        if not facts["settled"]:
            msg = "Some assignments are not processed yet."
            raise CommandError(msg, returncode=1)

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        ports = Ports(portal=free_port(options["port"]), sandbox=free_port(8100))
        demo = Demo(ports, scenario_options.as_arguments(options), self._print)
        began = time.monotonic()
        self._print(
            "Starting the sandbox (simulated Optimove and platform) and the portal ..."
        )
        with demo.running():
            self._print(f"Ready after {time.monotonic() - began:.1f} seconds.")
            demo.register()
            demo.name()
            staff = _staff()
            demo.run_campaigns()
            began = time.monotonic()
            figures = self._watch(demo)
            facts = _facts(demo, figures, staff, seconds=time.monotonic() - began)
            self._sum_up(facts)
            self._keep_running(demo, staff, options)
        return facts

    def _watch(self, demo: Demo) -> Reconciled:
        """Print figures until all is done or nothing changes; return the last ones."""
        figures, moved = demo.figures(), time.monotonic()
        stalled = _STALLED + settings.LIST_AGAIN_AFTER.total_seconds()
        while not demo.is_settled(figures) and demo.poll(0.5):
            now = demo.figures()
            if now != figures:
                self._print(_line(now))
                if demo.is_reported(now) and not demo.is_settled(now):
                    self._print(_ONCE_MORE)
                figures, moved = now, time.monotonic()
            if time.monotonic() - moved > stalled:
                break
        return figures

    def _sum_up(self, facts: dict[str, Any]) -> None:
        self._print(
            "\n{listed:,} assignments: {eligible:,} eligible, {active:,} activated, "
            "{reported:,} reported ({seconds:.1f} seconds).\n"
            "The platform recorded {credits:,} activations, at most {most_credits} for "
            "one reward.\n".format(**facts)
        )
        self._print("Promotions:")
        for promotion in facts["promotions"]:
            self._print(_usage(promotion))
        if facts["mails"]:
            self._print("{mails:,} emails written to {mail_folder}.".format(**facts))

    def _keep_running(
        self, demo: Demo, staff: list[dict[str, str]], options: dict[str, Any]
    ) -> None:
        if options["exit"]:
            return
        self._print(f"\nSimulated Optimove: {demo.ports.sandbox_url}/")
        self._print(f"Portal: {demo.ports.portal_url}/admin/ - log in as")
        for user in staff:
            self._print("  {username:<11}{password}   {role}".format(**user))
        self._print("Press Ctrl-C to stop.")
        while demo.poll(1.0):
            pass

    def _print(self, sentence: str) -> None:
        self._output.write(sentence)
        self._output.flush()


def _staff() -> list[dict[str, str]]:
    """Create a user for each role, with a password for this demo only."""
    staff = []
    for role in roles.Role:
        username, password = role.name.lower(), secrets.token_urlsafe(9)
        roles.create_staff(username, role, password)
        staff.append({"username": username, "role": role, "password": password})
    return staff


def _line(figures: Reconciled) -> str:
    done = figures.reported / figures.eligible if figures.eligible else 0
    bar = "#" * round(done * _BAR)
    return (
        f"[{bar:<{_BAR}}] {figures.listed:,} listed  {figures.eligible:,} eligible  "
        f"{figures.active:,} activated  {figures.reported:,} reported"
    )


def _usage(promotion: dict[str, Any]) -> str:
    """Return a line with a promotion's recipients and the use of its limits."""
    parts = [f"{promotion['recipients']:,} recipients"]
    if budget := promotion["budget"]:
        parts.append("{spent} of {total} {measure} spent".format(**budget))
    if cap := promotion["cap"]:
        parts.append("{used:,} of {recipients:,} recipients (cap)".format(**cap))
    if codes := promotion["codes"]:
        parts.append("{used:,} of {total:,} codes".format(**codes))
    if promotion["redemption_rate"] is not None:
        parts.append(f"{promotion['redemption_rate']:.0%} redeemed")
    return f"  {promotion['code']:<10}{', '.join(parts)}"


def _facts(
    demo: Demo, figures: Reconciled, staff: list[dict[str, str]], *, seconds: float
) -> dict[str, Any]:
    platform = demo.ledger()["platform"]
    counts = vars(figures).items()
    return {
        **{name: count for name, count in counts if name not in _ONE_EXECUTION},
        "credits": platform["credits"],
        "most_credits": platform["most_per_assignment"],
        "seconds": round(seconds, 1),
        "settled": demo.is_settled(figures),
        "occurrences": demo.occurrences,
        "promotions": demo.vendor()["promotions"],
        "mails": demo.sent,
        "mail_folder": str(demo.mails),
        "optimove": f"{demo.ports.sandbox_url}/",
        "admin": f"{demo.ports.portal_url}/admin/",
        "staff": staff,
    }
