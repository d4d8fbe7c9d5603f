"""`python -m bench.guards`: remove guards, and report which removal is detected."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from bench.guards import guard_list, table
from bench.guards.guard_list import Guard
from bench.guards.removal import Copy, Removal


def main() -> None:
    """Remove each guard that the command line names, or all; exit 1 if one is not detected."""
    options = _options()
    guards = [
        guard
        for guard in guard_list.read()
        if not options.names or any(name in guard.id for name in options.names)
    ]
    with ExitStack() as stack:
        copies = [
            Copy(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            for _ in range(options.jobs)
        ]
        _check_tests(copies[0], guards)
        removals = list(_remove_each(guards, copies))
    if options.write:
        table.write(removals)
    undetected = [removal for removal in removals if not removal.is_detected]
    print(f"{len(removals) - len(undetected)} of {len(removals)} guards are detected.")  # noqa: T201 - the output
    sys.exit(bool(undetected))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make guards")
    parser.add_argument("names", nargs="*", help="parts of the IDs of guards")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="update the table")
    return parser.parse_args()


def _check_tests(copy: Copy, guards: Sequence[Guard]) -> None:
    """Exit if a test fails with all guards in place: it would prove nothing."""
    tests = sorted({test for guard in guards for test in guard.tests})
    failed = copy.failing_test(tests)
    if failed:
        sys.exit(f"{failed} fails although no guard is removed.")


def _remove_each(guards: Sequence[Guard], copies: Sequence[Copy]) -> Iterator[Removal]:
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def remove(guard: Guard) -> Removal:
        copy = free.get()
        try:
            return copy.try_without(guard)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for removal in pool.map(remove, guards):
            _report(removal)
            yield removal


def _report(removal: Removal) -> None:
    found = removal.detected_by or removal.problem or "NO TEST DETECTS IT"
    print(f"{removal.guard.id}: {found} ({removal.seconds:.0f} s)", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
