"""The e-mails of an execution: rendered for each remaining customer, stored or sent."""

from __future__ import annotations

import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from promoportal import sandbox
from promoportal.sandbox.mails import Email
from tests.sandbox import tenants
from tests.sandbox.tenants import SCHEDULED

WELCOME = Email(
    sender="The house <hello@example.com>",
    subject="{{ reward.value }} {{ reward.currency }} for you",
    text="Dear {{ customer.email }}, it is {{ reward.tier }}: {{ code }}.\n",
    html="<p>{{ reward.tier }}</p>",
)


def run(
    box: sandbox.SandboxHandle, mailing: sandbox.Mailing, customers: int = 20
) -> dict[str, object]:
    scenario = tenants.scenario(email=WELCOME, customers=customers)
    box.reset(sandbox.Options(scenario=scenario, mailing=mailing))
    done: dict[str, object] = box.campaign(SCHEDULED)
    return done


def read(file: Path) -> EmailMessage:
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_every_customer_with_a_reward_gets_a_readable_mail(
    box: sandbox.SandboxHandle, tmp_path: Path
) -> None:
    done = run(box, sandbox.Mailing(directory=tmp_path))

    files = sorted((tmp_path / str(done["occurrence"])).iterdir())
    assert [file.name for file in files] == [
        f"C{number}.eml" for number in range(10, 21)
    ]
    mail = read(files[-1])
    assert mail["To"] == "c20@example.com"
    assert mail["Subject"] == "25.00 EUR for you"
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == "Dear c20@example.com, it is Gold: PROMO-20."
    assert done["mails"] == {"sent": 11, "kept": 11, "where": str(files[0].parent)}


def test_only_the_first_mails_are_kept_and_all_are_counted(
    box: sandbox.SandboxHandle, tmp_path: Path
) -> None:
    done = run(box, sandbox.Mailing(directory=tmp_path, keep=3))

    assert len(list((tmp_path / str(done["occurrence"])).iterdir())) == 3
    assert done["mails"] == {
        "sent": 11,
        "kept": 3,
        "where": str(tmp_path / str(done["occurrence"])),
    }


def test_without_a_directory_mails_are_only_counted(
    box: sandbox.SandboxHandle,
) -> None:
    done = run(box, sandbox.Mailing())

    assert done["mails"] == {"sent": 11, "kept": 0, "where": ""}


class Mailbox(StreamRequestHandler):
    """An SMTP server with just enough commands to receive and keep mails."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self._take()
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                return

    def _take(self) -> None:
        taken = b""
        for line in iter(self.rfile.readline, b".\r\n"):
            if not line:
                return  # the client has gone
            taken += line
        boxes[self.server.server_address[1]].append(taken)  # type: ignore[index]


boxes: dict[int, list[bytes]] = {}


@contextmanager
def mailbox() -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    with ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        host, port = "127.0.0.1", server.server_address[1]
        boxes[port] = []
        Thread(target=server.serve_forever, daemon=True).start()
        yield (host, port), boxes[port]
        server.shutdown()


def test_mails_can_be_sent_to_a_mail_server(box: sandbox.SandboxHandle) -> None:
    with mailbox() as (address, taken):
        done = run(box, sandbox.Mailing(smtp=address))

    assert len(taken) == 11
    assert b"To: c20@example.com" in taken[-1]
    assert done["mails"] == {
        "sent": 11,
        "kept": 11,
        "where": f"smtp://{address[0]}:{address[1]}",
    }


def test_a_missing_mail_server_stops_neither_rewards_nor_webhooks(
    box: sandbox.SandboxHandle,
) -> None:
    with mailbox() as (address, _):
        pass

    done = run(box, sandbox.Mailing(smtp=address))

    assert "Email" in str(done["problem"])
    assert done["statuses"] == {"Assigned": 11, "NotEligible": 5}
    assert done["over"] is True


def test_a_customer_without_an_address_gets_the_reward_and_no_mail(
    box: sandbox.SandboxHandle, tmp_path: Path
) -> None:
    scenario = tenants.scenario(email=WELCOME)
    population = tenants.Silent(scenario.population.ids)
    box.reset(
        sandbox.Options(
            scenario=replace(scenario, population=population),
            mailing=sandbox.Mailing(directory=tmp_path),
        )
    )

    done = box.campaign(SCHEDULED)

    assert done["statuses"]["Assigned"] == 11
    assert (done["mails"]["sent"], done["mails"]["kept"]) == (0, 0)
