"""`manage.py sandbox`: run the sandbox, which needs no database."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from promoportal import sandbox
from promoportal.management import scenario_options
from promoportal.management.base_command import PortalCommand
from promoportal.runtime import environment

_CAPABILITIES = [capability.value for capability in sandbox.Capability]


class Command(PortalCommand):
    help = "Run the simulated Optimove and platform until stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
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
                started=partial(self._announce, options),
                parent=options["with_parent"],
            )
        except sandbox.Taken as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            address = f"{options['host']}:{options['port']}"
            msg = f"The sandbox cannot listen on {address}: {error.strerror}."
            raise CommandError(msg) from error

    def _announce(self, options: dict[str, Any], url: str) -> None:
        addresses = {
            "OPTIMOVE_API_URL": f"{url}/optimove",
            "OPTIMOVE_PROMOTIONS_URL": f"{url}/promotions",
            "PLATFORM_URL": f"{url}/platform",
        }
        variables = [f"  {name}={value}\n" for name, value in addresses.items()]
        self.say(
            options,
            "The sandbox is running. Set these variables for the portal:\n"
            f"{''.join(variables)}"
            f"Run campaigns and inject faults at {url}/control/. Press Ctrl-C to stop.",
            url=url,
            control=f"{url}/control",
            **addresses,
        )
        self.stdout.flush()


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
