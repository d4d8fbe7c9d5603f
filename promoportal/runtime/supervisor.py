"""A supervisor that starts programs, restarts them if they crash, and stops them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from promoportal.runtime import parent_death

# Seconds before the restart after the 1st, 2nd, 3rd ... crash. Each is well below the
# ten seconds in which everything must run again.
_RESTART_DELAYS = [0.0, 0.5, 1.0, 2.0, 4.0]
_STABLE = 10.0  # if a program ran for more seconds, its next crash counts as the first

# Seconds in which a second signal counts as a copy of the first: `make` and `timeout`
# forward a signal that the terminal has also sent to this process.
_DOUBLE = 1.0

_STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True)
class Program:
    """A command to run, and its name."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[int] = ()  # file descriptors that the program inherits
    log: Path | None = None  # file for its output; None: the supervisor's own


@dataclass
class Child:
    """One program and its process, which changes with each restart."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    crashes: int = 0
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
                # Ctrl-C in a terminal reaches a whole process group, and would end
                # django-q2's workers before their parent. In a session of its own, a
                # program gets only the supervisor's SIGTERM.
                start_new_session=True,
            )

    def _log(self) -> AbstractContextManager[IO[bytes] | None]:
        return self.program.log.open("ab") if self.program.log else nullcontext()

    def reap(self) -> str:
        """If the process ended, schedule its restart. Return how it ended, or ""."""
        code = self.process.poll() if self.process else None
        if code is None:
            return ""
        self.process = None
        lived = time.monotonic() - self.began
        self.crashes = 1 if lived > _STABLE else self.crashes + 1
        delay = _RESTART_DELAYS[min(self.crashes, len(_RESTART_DELAYS)) - 1]
        self.due = time.monotonic() + delay
        if code < 0:
            return f"was killed by signal {-code}"
        return f"exited with code {code}"


class Supervisor:
    """
    A supervisor of programs, which runs in the foreground.

    Start it in the main thread: the programs exit with the thread that started them.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        say: Callable[[str], Any] = print,
        grace: float = 30.0,
    ) -> None:
        """
        :param say: called with a sentence about each event
        :param grace: seconds between SIGTERM and SIGKILL
        """
        self._children = [Child(program) for program in programs]
        self._say = say
        self._grace = grace
        self._asked_at: float | None = None
        self._is_hurried = False
        self._signal_reader, self._signal_writer = os.pipe()
        for end in (self._signal_reader, self._signal_writer):
            os.set_blocking(end, False)

    def run(self) -> None:
        """Run all programs until SIGTERM, SIGINT or SIGHUP; a second Ctrl-C kills."""
        with self.listening():
            self.start()
            while not self.is_asked_to_stop:
                self.poll()
            self.stop()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals and the exits of children inside the `with` block."""
        before = {sign: signal.signal(sign, self._on_signal) for sign in _STOP}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        waker = signal.set_wakeup_fd(self._signal_writer, warn_on_full_buffer=False)
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

    def poll(self, seconds: float = 1.0) -> None:
        """Wait for an event or until the time is over, then restart due programs."""
        self._wait(seconds)
        for child in self._children:
            if ended := child.reap():
                self._say(f"{child.program.name} {ended}. Restarting it.")
            if child.process is None and child.due <= time.monotonic():
                child.start()

    def stop(self) -> None:
        """Send SIGTERM to all, and kill the programs that outlast the grace period."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._running() and time.monotonic() < deadline and not self._is_hurried:
            self._wait(0.5)
        for name, _ in self._running():
            self._say(f"{name} did not stop within the time limit. Killing it.")
        self._signal(signal.SIGKILL)
        for _, process in self._running():
            process.wait()

    def _on_signal(self, sign: int, _: object) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif sign == signal.SIGINT and now - self._asked_at > _DOUBLE:
            self._is_hurried = True

    def _wait(self, seconds: float) -> None:
        dues = [child.due for child in self._children if child.process is None]
        due = min([time.monotonic() + seconds, *dues])
        select.select([self._signal_reader], [], [], max(0, due - time.monotonic()))
        with suppress(BlockingIOError):
            while os.read(self._signal_reader, 100):
                pass

    def _running(self) -> list[tuple[str, subprocess.Popen[bytes]]]:
        """Return the running processes, with the names of their programs."""
        started = [(child.program.name, child.process) for child in self._children]
        return [(name, of) for name, of in started if of and of.poll() is None]

    def _signal(self, sign: signal.Signals) -> None:
        for _, process in self._running():
            process.send_signal(sign)
