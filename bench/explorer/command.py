"""The arguments of the schedule explorer, its processes, and its output."""

from __future__ import annotations

import json
import logging
import os
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import django
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bench.explorer.exploration import Search
from bench.explorer.schedules import (
    CAPABILITIES,
    Budget,
    Diverged,
    explorer,
    read_name,
    repeat,
)

# What `--bounds` explores: (preemptions, faults) of a schedule.
_BOUNDS = ((2, 1), (1, 2))
# What the sample draws at most.
_SAMPLED = (3, 4)


@dataclass(frozen=True)
class Task:
    """The work of one process: all schedules within a budget, or a sample."""

    capability: str
    budget: tuple[int, int]
    seconds: float
    seed: int | None  # None: all schedules


class Command(BaseCommand):
    help = "Explore schedules of jobs, staff, faults and time, and count credits."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--schedule", metavar="ID", help="repeat this schedule, and print its story"
        )
        parser.add_argument(
            "--seconds", type=float, help="duration (default: 60 for a sample)"
        )
        parser.add_argument(
            "--seed", type=int, default=1, help="each seed draws other schedules"
        )
        parser.add_argument(
            "--capability", help="PLATFORM_CAPABILITY (default: one after the other)"
        )
        parser.add_argument(
            "--bounds",
            nargs="*",
            metavar="PREEMPTIONS,FAULTS",
            help="run all schedules within these bounds (default: 2,1 and 1,2)",
        )
        parser.add_argument(
            "--processes", type=int, default=2, help="number of processes"
        )
        parser.add_argument(
            "--json", action="store_true", help="print the result as one line of JSON"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The explorer is for development: set DEBUG=true.")
        if options["schedule"]:
            self._repeat(options["schedule"])
            return
        results = []
        for task, found in _run(list(_tasks(options)), options["processes"]):
            results.append({**asdict(task), **found})
            if not options["json"]:
                self.stdout.write(_text(task, found))
        if options["json"]:
            self.stdout.write(json.dumps(results))
        if bad := [each["bad"] for each in results if each["bad"]]:
            raise CommandError(
                f"A guarantee is broken: see --schedule {bad[0]}", returncode=1
            )

    def _repeat(self, name: str) -> None:
        logging.disable(logging.ERROR)
        try:
            capability, choices = read_name(name)
        except ValueError as error:
            raise CommandError(str(error)) from error
        with explorer(capability, name=_database()) as explorer_:
            explorer_.told = []
            try:
                problems = repeat(explorer_, choices)
            except Diverged as error:
                raise CommandError(str(error)) from error
        self.stdout.write("\n".join([*explorer_.told, *problems]))
        if problems:
            raise CommandError("A guarantee is broken: see above.", returncode=1)


def _database() -> str:
    return f"explorer_of_{os.getpid()}"


def _tasks(options: dict[str, Any]) -> Iterable[Task]:
    one = options["capability"]
    capabilities: Sequence[str] = [one] if one else CAPABILITIES
    if options["bounds"] is not None:
        seconds = options["seconds"] or float("inf")
        given = [tuple(map(int, text.split(","))) for text in options["bounds"]]
        for preemptions, faults in given or _BOUNDS:
            for capability in capabilities:
                yield Task(capability, (preemptions, faults), seconds, None)
        return
    rounds = -(-len(capabilities) // options["processes"])
    seconds = (options["seconds"] or 60) / rounds
    for capability in capabilities:
        yield Task(capability, _SAMPLED, seconds, options["seed"])


def _run(
    tasks: Sequence[Task], processes: int
) -> Iterable[tuple[Task, dict[str, Any]]]:
    with ProcessPoolExecutor(processes, get_context("spawn"), django.setup) as pool:
        yield from zip(tasks, pool.map(explore, tasks), strict=True)


def explore(task: Task) -> dict[str, Any]:
    """Carry out a task in a process of its own, and return its figures."""
    logging.disable(logging.ERROR)
    budget, is_all = Budget(*task.budget), task.seed is None
    name = _database()
    with explorer(task.capability, name=name, reports=not is_all) as made:
        return asdict(Search(made, task.seconds, task.seed).run(budget))


def _text(task: Task, found: dict[str, Any]) -> str:
    kind = "all" if found["is_complete"] else "a part of all"
    preemptions, faults = task.budget
    lines = [
        f"{task.capability}: {kind} schedules within {preemptions},{faults}",
        "  "
        + ", ".join(
            f"{found[name]:,} {name}"
            for name in ("runs", "choices", "states", "pruned", "diverged")
        ),
    ]
    if found["bad"]:
        lines += ["BROKEN:", *found["problems"], f"  --schedule {found['bad']}"]
    return "\n".join(lines)
