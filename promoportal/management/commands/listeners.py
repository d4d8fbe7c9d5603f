"""`manage.py listeners`: add, register, unregister, list and rotate listeners."""

from __future__ import annotations

from argparse import SUPPRESS
from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError, CommandParser

from executions import listeners
from executions.models import EventType, Listener
from promoportal import wire
from promoportal.management.base_command import JSON_HELP, PortalCommand
from promoportal.optimove import External
from promoportal.optimove.throttle import Throttled

# The event types that the portal handles. `register` uses all if none is given.
ACTED_ON = (EventType.SCHEDULED, EventType.TRIGGERED, EventType.CANCELLED)

_VERBS = {
    "add": "create a listener; its secret URL is shown once",
    "register": "create listeners and register them with Optimove",
    "unregister": "unregister a listener from Optimove and close it",
    "rotate": "create a second listener with a new secret URL",
    "list": "list all listeners (secrets are not shown)",
}


class Command(PortalCommand):
    help = "Manage the webhook listeners that Optimove calls."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in _VERBS.items():
            options = verbs.add_parser(verb, help=text)
            # No default here, because it would override a --json before the verb.
            options.add_argument(
                "--json", action="store_true", default=SUPPRESS, help=JSON_HELP
            )
            if verb in {"add", "register"}:
                _add_listener_options(options, event_is_required=verb == "add")
            if verb in {"unregister", "rotate"}:
                number = "listener number, as in `listeners list`"
                options.add_argument("listener", type=int, help=number)
            if verb == "rotate":
                both = "also register the new URL with Optimove"
                options.add_argument("--register", action="store_true", help=both)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except listeners.InvalidListener as error:
            raise CommandError(str(error)) from error
        except Throttled:
            msg = "Optimove's rate limit is reached. Try again in a few seconds."
            raise CommandError(msg) from None
        except (wire.Unanswered, wire.Malformed) as error:
            raise CommandError(
                f"Outcome unknown: Optimove did not confirm the request. {error} The "
                "listener stays open. Run `listeners list`, then try again."
            ) from error
        except wire.WireError as error:
            msg = f"Optimove did not accept the request. {error} No changes were made."
            raise CommandError(msg) from error

    def _open(self, event_type: int, options: dict[str, Any]) -> listeners.Opened:
        return listeners.open_listener(
            event_type,
            channel=options["channel"],
            header=options["header"],
            networks=options["network"],
        )

    def _add(self, options: dict[str, Any]) -> None:
        self._show(options, self._open(options["event_type"], options))

    def _register(self, options: dict[str, Any]) -> None:
        chosen = options["event_type"]
        if chosen is not None:
            with External.from_settings() as vendor:
                self._show(options, self._registered(chosen, options, vendor))
        else:
            self._register_all(options)

    def _register_all(self, options: dict[str, Any]) -> None:
        """Register all listeners. If one fails, still show those that succeeded."""
        rows: list[dict[str, Any]] = []
        try:
            with External.from_settings() as vendor:
                for event_type in ACTED_ON:
                    opened = self._registered(event_type, options, vendor)
                    rows.append(_facts(opened))
                    if not options["json"]:
                        self._show(options, opened)
        finally:
            if options["json"]:
                self.say(options, "", listeners=rows)

    def _registered(
        self, event_type: int, options: dict[str, Any], vendor: External
    ) -> listeners.Opened:
        opened = self._open(event_type, options)
        listeners.register(opened, vendor)
        return opened

    def _unregister(self, options: dict[str, Any]) -> None:
        listener = self._find(options)
        with External.from_settings() as vendor:
            listeners.unregister(listener, vendor)
        self.say(options, f"Closed {listener}.", id=listener.pk, open=False)

    def _rotate(self, options: dict[str, Any]) -> None:
        old = self._find(options)
        client = External.from_settings() if options["register"] else nullcontext()
        with client as vendor:
            opened = listeners.rotate(old, vendor)
        self._show(options, opened, replaces=old.pk)

    def _list(self, options: dict[str, Any]) -> None:
        rows = [_row(listener) for listener in Listener.objects.order_by("pk")]
        lines = [
            "{id:>4}  event {event_type:<3} channel {channel}  {state}".format(**row)
            for row in rows
        ]
        none = "No listeners. Create one with `listeners register`."
        self.say(options, "\n".join(lines) or none, listeners=rows)

    def _find(self, options: dict[str, Any]) -> Listener:
        listener = Listener.objects.open().filter(pk=options["listener"]).first()
        if listener is None:
            raise CommandError(
                f"Open listener {options['listener']} not found. Run `listeners list` to "
                "see all listeners."
            )
        return listener

    def _show(
        self, options: dict[str, Any], opened: listeners.Opened, **more: Any
    ) -> None:
        listener = opened.listener
        self.say(
            options,
            f"Created {listener}. Copy its secret URL now; it is not shown again:\n"
            f"{opened.url}",
            **_facts(opened),
            **more,
        )


def _add_listener_options(parser: CommandParser, *, event_is_required: bool) -> None:
    parser.add_argument(
        "--event-type",
        type=int,
        required=event_is_required,
        help="Optimove event type: 13 scheduled, 11 triggered, 4 cancelled",
    )
    parser.add_argument(
        "--channel", type=int, help="Optimove channel ID (default: all channels)"
    )
    parser.add_argument(
        "--header",
        default="",
        help='header that each request must carry, as "Name: secret"',
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        help="allowed network, such as 192.0.2.0/24; can be repeated",
    )


def _facts(opened: listeners.Opened) -> dict[str, Any]:
    return {
        "id": opened.listener.pk,
        "path": opened.path,
        "url": opened.url,
        "event_type": opened.listener.event_type,
        "channel": opened.listener.channel,
    }


def _row(listener: Listener) -> dict[str, Any]:
    state = "registered" if listener.registered_at else "open"
    return {
        "id": listener.pk,
        "event_type": listener.event_type,
        "channel": listener.channel or "any",
        "state": "closed" if listener.closed_at else state,
        "opened_at": listener.opened_at,
    }
