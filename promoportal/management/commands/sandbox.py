"""`manage.py sandbox`: simulated Optimove and platform, without a database."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from promoportal import sandbox
from promoportal.management import scenario_options
from promoportal.management.base_command import JSON_HELP
from promoportal.runtime import environment

_CAPABILITIES = [capability.value for capability in sandbox.Capability]


class Command(BaseCommand):
    help = "Run the simulated Optimove and platform until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port",
            type=int,
            default=8100,
            help="port to listen on; 0 picks a free port",
        )
        parser.add_argument(
            "--host",
            default="127.0.0.1",
            help="address to listen on; other machines need SANDBOX_CONTROL_TOKEN",
        )
        parser.add_argument(
            "--scenario", help=f"{scenario_options.known()} (default: none)"
        )
        scenario_options.add_arguments(parser)
        parser.add_argument(
            "--calls",
            type=int,
            default=50,
            help="Optimove calls allowed per 10 seconds (Optimove allows 50)",
        )
        parser.add_argument(
            "--mails", type=Path, metavar="FOLDER", help="folder for sent emails"
        )
        parser.add_argument(
            "--smtp",
            type=_host_and_port,
            metavar="HOST:PORT",
            help="SMTP server for sent emails",
        )
        parser.add_argument(
            "--keep",
            type=Path,
            metavar="FOLDER",
            help="folder that keeps executions, activations and redemptions across "
            "restarts",
        )
        parser.add_argument(
            "--capability",
            choices=_CAPABILITIES,
            default=sandbox.Capability.IDEMPOTENT,
            help="what the simulated platform supports: idempotency keys, status "
            "checks, both or neither",
        )
        parser.add_argument("--json", action="store_true", help=JSON_HELP)
        parser.add_argument(
            "--with-parent",
            nargs="?",
            type=int,
            const=os.getppid(),
            metavar="PID",
            help="exit when the parent process exits",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _options(options)
        try:
            sandbox.run(
                chosen,
                host=options["host"],
                port=options["port"],
                started=self._print_json if options["json"] else self._print_text,
                parent=options["with_parent"],
            )
        except sandbox.Taken as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            address = f"{options['host']}:{options['port']}"
            msg = f"The sandbox cannot listen on {address}: {error.strerror}."
            raise CommandError(msg) from error

    def _print_text(self, url: str) -> None:
        self.stdout.write("The sandbox is running. Set these variables for the portal:")
        for name, value in _addresses(url).items():
            self.stdout.write(f"  {name}={value}")
        self.stdout.write(
            f"Run campaigns and inject faults at {url}/control/. Press Ctrl-C to stop."
        )
        self.stdout.flush()

    def _print_json(self, url: str) -> None:
        control = {"url": url, "control": f"{url}/control"}
        self.stdout.write(json.dumps(control | _addresses(url)))
        self.stdout.flush()


def _addresses(url: str) -> dict[str, str]:
    return {
        "OPTIMOVE_API_URL": f"{url}/optimove",
        "OPTIMOVE_PROMOTIONS_URL": f"{url}/promotions",
        "PLATFORM_URL": f"{url}/platform",
    }


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        msg = f"Invalid address {text!r}. Use host:port, for example localhost:1025."
        raise ArgumentTypeError(msg)
    return host, int(port)


def _options(options: dict[str, Any]) -> sandbox.Options:
    name = options["scenario"]
    if name is None and options["customers"] is not None:
        raise CommandError("--customers requires --scenario.")
    if name is not None and options["keep"]:
        raise CommandError("--keep cannot be used with --scenario.")
    return sandbox.Options(
        api_key=settings.OPTIMOVE_API_KEY,
        platform_token=settings.PLATFORM_TOKEN,
        control_token=environment.text("SANDBOX_CONTROL_TOKEN"),
        seed=1 if options["seed"] is None else options["seed"],
        capability=sandbox.Capability(options["capability"]),
        calls=options["calls"],
        keep=options["keep"],
        scenario=None if name is None else scenario_options.chosen(name, options),
        mailing=sandbox.Mailing(directory=options["mails"], smtp=options["smtp"]),
    )
