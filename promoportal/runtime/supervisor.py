"""Starting programs, starting them again when they die, and stopping them all."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from promoportal.runtime import parent_death

# Seconds before a program is started again: at once, and later if it dies again and
# again. All well within the ten seconds in which everything is to be back.
_RESTART_DELAYS = [0.0, 0.5, 1.0, 2.0, 4.0]
_STEADY = 10.0  # seconds alive after which a death is the first one again

# Seconds: `make` and `timeout` pass on a signal that the terminal sent us too.
_DOUBLE = 1.0

_STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True)
class Program:
    """What to run, and what it is called."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[int] = ()  # open files that it inherits
    log: Path | None = None  # where it writes, if not where we do


@dataclass
class Child:
    """One program and its process, which changes as it dies and is started again."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    deaths: int = 0
    due: float = 0.0

    def start(self) -> None:
        self.began = time.monotonic()
        with self._log() as log:
            self.process = subprocess.Popen(  # noqa: S603
                list(self.program.command),
                env=os.environ | self.program.environment | parent_death.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=tuple(self.program.files),
                # Ctrl-C in a terminal reaches a whole group; django-q2's workers would
                # die of what is meant for their parent. Only we are asked, and pass it
                # on.
                start_new_session=True,
            )

    def _log(self) -> AbstractContextManager[IO[bytes] | None]:
        return self.program.log.open("ab") if self.program.log else nullcontext()

    def bury(self) -> str:
        """How it ended, if it did; it is due to be started again then."""
        code = self.process.poll() if self.process else None
        if code is None:
            return ""
        self.process = None
        lived = time.monotonic() - self.began
        self.deaths = 1 if lived > _STEADY else self.deaths + 1
        self.due = (
            time.monotonic()
            + _RESTART_DELAYS[min(self.deaths, len(_RESTART_DELAYS)) - 1]
        )
        return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"


class Supervisor:
    """
    Runs programs in the foreground.

    To be used by the main thread: its children end with the thread that made them.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        say: Callable[[str], Any] = print,
        grace: float = 30.0,
    ) -> None:
        """
        :param say: told in a sentence what happens
        :param grace: seconds to finish in after SIGTERM, before SIGKILL
        """
        self._children = [Child(program) for program in programs]
        self._say = say
        self._grace = grace
        self._asked_at: float | None = None
        self._is_hurried = False
        self._bell, self._ring = os.pipe()
        for end in (self._bell, self._ring):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Run until SIGTERM, SIGINT or SIGHUP, then stop all. A second Ctrl-C hurries."""
        with self.listening():
            self.start()
            while not self.is_asked_to_stop:
                self.look()
            self.stop()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be woken by signals, and by children that end."""
        before = {sign: signal.signal(sign, self._note) for sign in _STOP}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        waker = signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(waker)
            for sign, handler in before.items():
                signal.signal(sign, handler)

    @property
    def is_asked_to_stop(self) -> bool:
        return self._asked_at is not None

    def start(self) -> None:
        """Start every program."""
        for child in self._children:
            child.start()

    def look(self, seconds: float = 1.0) -> None:
        """Wait that long, or for something to happen, and start again what is due."""
        self._wait(seconds)
        for child in self._children:
            if ended := child.bury():
                self._say(f"{child.program.name} {ended}; it is started again.")
            if child.process is None and child.due <= time.monotonic():
                child.start()

    def stop(self) -> None:
        """Ask all to end, give them the grace, and kill what is left."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._living() and time.monotonic() < deadline and not self._is_hurried:
            self._wait(0.5)
        for child in self._living():
            self._say(f"{child.program.name} did not end in time and is killed.")
        self._signal(signal.SIGKILL)
        for child in self._living():
            if child.process:
                child.process.wait()

    def _note(self, sign: int, _: object) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif sign == signal.SIGINT and now - self._asked_at > _DOUBLE:
            self._is_hurried = True

    def _wait(self, seconds: float) -> None:
        dues = [child.due for child in self._children if child.process is None]
        due = min([time.monotonic() + seconds, *dues])
        select.select([self._bell], [], [], max(0, due - time.monotonic()))
        try:
            while os.read(self._bell, 100):
                pass
        except BlockingIOError:
            pass

    def _living(self) -> list[Child]:
        return [
            child
            for child in self._children
            if child.process and child.process.poll() is None
        ]

    def _signal(self, sign: signal.Signals) -> None:
        for child in self._living():
            if child.process:
                child.process.send_signal(sign)
