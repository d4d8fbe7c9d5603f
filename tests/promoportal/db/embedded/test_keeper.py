"""The server runs for as long as it has users, even if processes crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from promoportal.db.embedded.data_directory import Layout, lock
from promoportal.db.embedded.keeper import Keeper
from tests.promoportal.db.embedded.conftest import (
    OUTSIDE,
    ROOT,
    Start,
    UserProcess,
    clear,
    eventually,
    is_stopped,
    pid_of,
    processes,
)

STARTED = "SELECT pg_postmaster_start_time()"


def checkpointer_of(server: int) -> int:
    """Return the pid of the checkpointer, without which a server never shuts down."""
    listed = subprocess.check_output(
        ["ps", "-axww", "-o", "pid=,ppid=,command="], text=True
    )
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    [found] = [
        int(pid)
        for pid, parent, command in rows
        if int(parent) == server and command.rstrip().endswith("checkpointer")
    ]
    return found


def test_the_first_user_starts_the_server_and_the_last_one_stops_it(
    layout: Layout, start: Start
) -> None:
    first, second = start(layout), start(layout)
    started = first.value(STARTED)

    assert second.value(STARTED) == started

    first.close()
    assert second.value(STARTED) == started

    second.close()
    assert is_stopped(layout)
    assert not layout.socket.exists()
    assert layout.postmaster() is None


def test_simultaneous_first_users_share_one_server(
    new_layout: Layout, start: Start
) -> None:
    users = [start(new_layout) for _ in range(4)]

    for user in users:
        user.send(STARTED)

    answers = [user.receive() for user in users]
    assert isinstance(answers[0], list)
    assert answers == [answers[0]] * 4
    assert sorted(processes(new_layout).values()) == ["keeper", "server"]


def test_data_is_there_after_a_restart(layout: Layout, start: Start) -> None:
    today = start(layout)
    today.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    today.close()
    assert is_stopped(layout)

    tomorrow = start(layout)

    assert tomorrow.value("SELECT answer FROM kept") == 42
    tomorrow.ask("DROP TABLE kept")


def test_a_user_who_comes_during_the_stop_waits_and_restarts_the_server(
    layout: Layout, start: Start
) -> None:
    starts = set()

    for _ in range(4):
        user = start(layout)
        starts.add(user.value(STARTED))
        user.close()

    assert len(starts) > 1


def test_a_killed_user_does_not_keep_the_server_running(
    layout: Layout, start: Start
) -> None:
    killed = start(layout)
    killed.send("SELECT pg_sleep(60)")
    assert eventually(layout.is_ready)

    killed.kill()

    assert is_stopped(layout)


def test_a_fork_of_a_user_is_a_user_as_well(layout: Layout, start: Start) -> None:
    parent = start(layout)
    parent.value("SELECT 1")
    parent.ask("fork")

    parent.process.kill()
    parent.process.wait()

    assert not is_stopped(layout, within=0.5)
    assert is_stopped(layout)


def test_a_killed_keeper_is_replaced(layout: Layout, start: Start) -> None:
    user = start(layout)
    user.value("SELECT 1")
    first = pid_of("keeper", layout)

    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: user.ask("SELECT 1") == [[1]])
    assert eventually(lambda: first not in processes(layout))
    assert user.value("SELECT 2") == 2
    assert sorted(processes(layout).values()) == ["keeper", "server"]
    user.close()
    assert is_stopped(layout)


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="Only Linux tells a child.")
def test_the_server_stops_when_its_keeper_is_killed(
    layout: Layout, start: Start
) -> None:
    user = start(layout)
    user.value("SELECT 1")
    keeper = pid_of("keeper", layout)
    user.process.kill()

    os.kill(keeper, signal.SIGKILL)

    assert is_stopped(layout)


def test_a_killed_server_is_restarted_with_all_committed_data(
    layout: Layout, start: Start
) -> None:
    user = start(layout)
    user.ask("DROP TABLE IF EXISTS committed")
    user.ask("CREATE TABLE committed AS SELECT generate_series(1, 1000)")

    os.kill(pid_of("server", layout), signal.SIGKILL)

    # A query fails while the connection's own process is just exiting.
    count = "SELECT count(*) FROM committed"
    assert eventually(lambda: user.ask(count) == [[1000]])
    user.close()
    assert is_stopped(layout)


def start_impatient_keeper(layout: Layout, wheel: Path) -> None:
    """Start a keeper as a user does, but with a short limit for a fast shutdown."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "promoportal.db.embedded.keeper",
            layout.home,
            wheel,
            "0.2",
        ],
        check=True,
        cwd=ROOT,
    )


def the_user_exits(user: UserProcess, _layout: Layout, _wheel: Path) -> None:
    user.close()


def the_keeper_is_terminated(_user: UserProcess, layout: Layout, _wheel: Path) -> None:
    os.kill(pid_of("keeper", layout), signal.SIGTERM)


def the_keeper_is_replaced(_user: UserProcess, layout: Layout, wheel: Path) -> None:
    os.kill(pid_of("keeper", layout), signal.SIGKILL)
    start_impatient_keeper(layout, wheel)


@pytest.mark.parametrize(
    "end", [the_user_exits, the_keeper_is_terminated, the_keeper_is_replaced]
)
def test_a_server_that_does_not_stop_is_forced_to_and_keeps_committed_data(
    end: Callable[[UserProcess, Layout, Path], None],
    layout: Layout,
    wheel: Path,
    start: Start,
) -> None:
    with lock(layout.users, fcntl.LOCK_SH):
        start_impatient_keeper(layout, wheel)
        user = start(layout)
        user.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    server = pid_of("server", layout)
    os.kill(checkpointer_of(server), signal.SIGSTOP)
    before = len(layout.log.read_text())

    end(user, layout, wheel)

    assert eventually(lambda: server not in processes(layout), within=20)
    log = layout.log.read_text()[before:]
    assert "received fast shutdown request" in log
    assert "received immediate shutdown request" in log
    # A killed server would not log this.
    assert "database system is shut down" in log
    later = start(layout)
    assert later.value("SELECT answer FROM kept") == 42
    later.ask("DROP TABLE kept")


def test_the_pid_file_of_a_running_server_is_not_changed(
    layout: Layout, start: Start
) -> None:
    user = start(layout)
    user.value("SELECT 1")
    file = layout.data / "postmaster.pid"
    before = file.read_text()

    with pytest.raises(TimeoutError, match="cannot be stopped"):
        Keeper(layout, layout.server_user(), patience=20).clear_stale_pid()

    assert file.read_text() == before
    assert user.value("SELECT 1") == 1


def test_the_database_recovers_when_all_processes_are_killed_at_once(
    layout: Layout, start: Start
) -> None:
    user = start(layout)
    user.ask("DROP TABLE IF EXISTS survived")
    user.ask("CREATE TABLE survived AS SELECT 1")
    for pid in (pid_of("keeper", layout), pid_of("server", layout), user.process.pid):
        os.kill(pid, signal.SIGKILL)

    assert start(layout).value("SELECT count(*) FROM survived") == 1


def test_a_process_that_reuses_the_servers_pid_is_not_killed(
    layout: Layout, start: Start
) -> None:
    user = start(layout)
    user.value("SELECT 1")
    for pid in (pid_of("keeper", layout), pid_of("server", layout)):
        os.kill(pid, signal.SIGKILL)
    user.kill()
    assert is_stopped(layout)
    file = layout.data / "postmaster.pid"
    # As after a restart of the machine: the pid is that of these tests.
    file.write_text("\n".join([str(os.getpid()), *file.read_text().split("\n")[1:]]))

    assert start(layout).value("SELECT 1") == 1


def test_an_interrupted_first_start_is_repeated(
    new_layout: Layout, start: Start
) -> None:
    user = start(new_layout)
    user.send("SELECT 1")
    assert eventually((new_layout.folder / "data.unfinished/base").exists)

    os.kill(pid_of("keeper", new_layout), signal.SIGKILL)

    assert user.receive() == [[1]]
    assert not (new_layout.folder / "data.unfinished").exists()


def test_a_deleted_home_starts_with_an_empty_database(
    new_layout: Layout, start: Start
) -> None:
    before = start(new_layout)
    before.ask("CREATE TABLE gone AS SELECT 1")
    before.close()
    assert is_stopped(new_layout)
    was = new_layout.folder.resolve()
    shutil.rmtree(new_layout.home)

    after = start(new_layout)

    assert after.value("SELECT to_regclass('gone')") is None
    if was.parent == OUTSIDE and OUTSIDE.stat().st_dev == new_layout.home.stat().st_dev:
        assert not was.exists()


def test_a_moved_home_keeps_its_data(new_layout: Layout, start: Start) -> None:
    before = start(new_layout)
    before.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    before.close()
    assert is_stopped(new_layout)

    moved = Layout(new_layout.home.rename(new_layout.home.with_name("moved")))

    other, same = start(new_layout), start(moved)
    assert other.value("SELECT to_regclass('kept')") is None
    assert same.value("SELECT answer FROM kept") == 42
    same.close()
    clear(moved)


def test_a_user_of_a_deleted_home_counts_in_the_new_one(
    new_layout: Layout, start: Start
) -> None:
    first, second = start(new_layout), start(new_layout)
    first.value("SELECT 1")
    old = set(processes(new_layout))
    folder = new_layout.folder.resolve()
    shutil.rmtree(new_layout.home)
    shutil.rmtree(folder, ignore_errors=True)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert is_stopped(new_layout)

    started = second.value(STARTED)
    assert eventually(lambda: first.ask(STARTED) == [[started]])
    second.close()

    assert not is_stopped(new_layout, within=0.5)
    assert first.value(STARTED) == started


def test_a_server_that_cannot_start_reports_the_reason(
    layout: Layout, start: Start
) -> None:
    settings = layout.data / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("nonsense = 1\n")

    answer = start(layout).ask("SELECT 1")

    settings.write_text(before)
    assert "did not start. Set DATABASE_URL to use another one." in str(answer)
    assert 'unrecognized configuration parameter "nonsense"' in str(answer)


def test_data_of_another_version_is_refused(layout: Layout, start: Start) -> None:
    (layout.data / "PG_VERSION").write_text("9\n")

    answer = start(layout).ask("SELECT 1")

    (layout.data / "PG_VERSION").write_text("18\n")
    assert "The data was written by PostgreSQL 9" in str(answer)


def test_the_last_releases_name_of_the_keeper_still_starts_the_server(
    layout: Layout, wheel: Path
) -> None:
    """A process that was started before an upgrade starts the keeper by that name."""
    with lock(layout.users, fcntl.LOCK_SH):
        subprocess.run(
            [
                *(sys.executable, "-m", "promoportal.embedded.keeper"),
                *(layout.home, wheel),
            ],
            cwd=ROOT,
            check=True,
        )

        assert eventually(lambda: "server" in processes(layout).values())
    assert is_stopped(layout)
