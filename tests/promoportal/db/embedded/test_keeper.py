"""The server runs for as long as somebody uses it, whatever happens to whom."""

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

from promoportal.db.embedded.data_directory import House, lock
from promoportal.db.embedded.keeper import Keeper
from tests.promoportal.db.embedded.conftest import (
    OUTSIDE,
    ROOT,
    Enter,
    Visitor,
    clear,
    eventually,
    is_left,
    processes,
    the,
)

STARTED = "SELECT pg_postmaster_start_time()"


def checkpointer_of(server: int) -> int:
    """Without it, a server that shuts down waits for ever."""
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


def test_the_first_user_starts_it_and_the_last_one_ends_it(
    house: House, enter: Enter
) -> None:
    first, second = enter(house), enter(house)
    started = first.value(STARTED)

    assert second.value(STARTED) == started

    first.leave()
    assert second.value(STARTED) == started

    second.leave()
    assert is_left(house)
    assert not house.socket.exists()
    assert house.postmaster() is None


def test_users_who_come_at_once_to_a_new_house_share_one_server(
    new_house: House, enter: Enter
) -> None:
    visitors = [enter(new_house) for _ in range(4)]

    for visitor in visitors:
        visitor.begin(STARTED)

    heard = [visitor.hear() for visitor in visitors]
    assert isinstance(heard[0], list)
    assert heard == [heard[0]] * 4
    assert sorted(processes(new_house).values()) == ["keeper", "server"]


def test_what_was_written_is_there_the_next_time(house: House, enter: Enter) -> None:
    today = enter(house)
    today.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    today.leave()
    assert is_left(house)

    tomorrow = enter(house)

    assert tomorrow.value("SELECT answer FROM kept") == 42
    tomorrow.ask("DROP TABLE kept")


def test_who_comes_while_it_is_being_stopped_waits_and_starts_it_anew(
    house: House, enter: Enter
) -> None:
    starts = set()

    for _ in range(4):
        visitor = enter(house)
        starts.add(visitor.value(STARTED))
        visitor.leave()

    assert len(starts) > 1


def test_a_user_who_was_killed_is_not_waited_for(house: House, enter: Enter) -> None:
    killed = enter(house)
    killed.begin("SELECT pg_sleep(60)")
    assert eventually(house.is_ready)

    killed.kill()

    assert is_left(house)


def test_a_fork_of_a_user_is_a_user(house: House, enter: Enter) -> None:
    parent = enter(house)
    parent.value("SELECT 1")
    parent.ask("fork")

    parent.process.kill()
    parent.process.wait()

    assert not is_left(house, within=0.5)
    assert is_left(house)


def test_a_killed_keeper_is_replaced(house: House, enter: Enter) -> None:
    visitor = enter(house)
    visitor.value("SELECT 1")
    first = the("keeper", house)

    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: visitor.ask("SELECT 1") == [[1]])
    assert eventually(lambda: first not in processes(house))
    assert visitor.value("SELECT 2") == 2
    assert sorted(processes(house).values()) == ["keeper", "server"]
    visitor.leave()
    assert is_left(house)


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="Only Linux tells a child.")
def test_nobody_needs_to_come_after_a_killed_keeper(house: House, enter: Enter) -> None:
    visitor = enter(house)
    visitor.value("SELECT 1")
    keeper = the("keeper", house)
    visitor.process.kill()

    os.kill(keeper, signal.SIGKILL)

    assert is_left(house)


def test_a_killed_server_is_started_again_with_what_was_committed(
    house: House, enter: Enter
) -> None:
    visitor = enter(house)
    visitor.ask("DROP TABLE IF EXISTS committed")
    visitor.ask("CREATE TABLE committed AS SELECT generate_series(1, 1000)")

    os.kill(the("server", house), signal.SIGKILL)

    # Whoever asks while the connection's own process is just ending is told so.
    count = "SELECT count(*) FROM committed"
    assert eventually(lambda: visitor.ask(count) == [[1000]])
    visitor.leave()
    assert is_left(house)


def keep_impatiently(house: House, wheel: Path) -> None:
    """As a visitor has it kept, but for how long a fast shutdown may take."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "promoportal.db.embedded.keeper",
            house.home,
            wheel,
            "0.2",
        ],
        check=True,
        cwd=ROOT,
    )


def the_user_leaves(visitor: Visitor, _house: House, _wheel: Path) -> None:
    visitor.leave()


def the_keeper_is_told(_visitor: Visitor, house: House, _wheel: Path) -> None:
    os.kill(the("keeper", house), signal.SIGTERM)


def the_keeper_is_replaced(_visitor: Visitor, house: House, wheel: Path) -> None:
    os.kill(the("keeper", house), signal.SIGKILL)
    keep_impatiently(house, wheel)


@pytest.mark.parametrize(
    "end", [the_user_leaves, the_keeper_is_told, the_keeper_is_replaced]
)
def test_a_server_that_does_not_end_is_made_to_and_keeps_what_was_committed(
    end: Callable[[Visitor, House, Path], None],
    house: House,
    wheel: Path,
    enter: Enter,
) -> None:
    with lock(house.users, fcntl.LOCK_SH):
        keep_impatiently(house, wheel)
        visitor = enter(house)
        visitor.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    server = the("server", house)
    os.kill(checkpointer_of(server), signal.SIGSTOP)
    before = len(house.log.read_text())

    end(visitor, house, wheel)

    assert eventually(lambda: server not in processes(house), within=20)
    told = house.log.read_text()[before:]
    assert "received fast shutdown request" in told
    assert "received immediate shutdown request" in told
    # Which it could not say if it had had to be killed.
    assert "database system is shut down" in told
    later = enter(house)
    assert later.value("SELECT answer FROM kept") == 42
    later.ask("DROP TABLE kept")


def test_the_pid_file_of_a_server_that_lives_is_left_as_it_is(
    house: House, enter: Enter
) -> None:
    visitor = enter(house)
    visitor.value("SELECT 1")
    file = house.data / "postmaster.pid"
    before = file.read_text()

    with pytest.raises(TimeoutError, match="does not end, even if it is killed"):
        Keeper(house, house.server_user(), patience=20).disown()

    assert file.read_text() == before
    assert visitor.value("SELECT 1") == 1


def test_everybody_killed_at_once_is_recovered_from(house: House, enter: Enter) -> None:
    visitor = enter(house)
    visitor.ask("DROP TABLE IF EXISTS survived")
    visitor.ask("CREATE TABLE survived AS SELECT 1")
    for pid in (the("keeper", house), the("server", house), visitor.process.pid):
        os.kill(pid, signal.SIGKILL)

    assert enter(house).value("SELECT count(*) FROM survived") == 1


def test_a_pid_that_became_someone_elses_is_left_alone(
    house: House, enter: Enter
) -> None:
    visitor = enter(house)
    visitor.value("SELECT 1")
    for pid in (the("keeper", house), the("server", house)):
        os.kill(pid, signal.SIGKILL)
    visitor.kill()
    assert is_left(house)
    file = house.data / "postmaster.pid"
    # As after a restart of the machine: the pid is that of these tests.
    file.write_text("\n".join([str(os.getpid()), *file.read_text().split("\n")[1:]]))

    assert enter(house).value("SELECT 1") == 1


def test_a_first_start_that_was_cut_short_is_begun_again(
    new_house: House, enter: Enter
) -> None:
    visitor = enter(new_house)
    visitor.begin("SELECT 1")
    assert eventually((new_house.rooms / "data.unfinished/base").exists)

    os.kill(the("keeper", new_house), signal.SIGKILL)

    assert visitor.hear() == [[1]]
    assert not (new_house.rooms / "data.unfinished").exists()


def test_a_deleted_house_begins_anew(new_house: House, enter: Enter) -> None:
    before = enter(new_house)
    before.ask("CREATE TABLE gone AS SELECT 1")
    before.leave()
    assert is_left(new_house)
    was = new_house.rooms.resolve()
    shutil.rmtree(new_house.home)

    after = enter(new_house)

    assert after.value("SELECT to_regclass('gone')") is None
    if was.parent == OUTSIDE and OUTSIDE.stat().st_dev == new_house.home.stat().st_dev:
        assert not was.exists()


def test_a_house_that_was_moved_takes_its_data_along(
    new_house: House, enter: Enter
) -> None:
    before = enter(new_house)
    before.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    before.leave()
    assert is_left(new_house)

    moved = House(new_house.home.rename(new_house.home.with_name("moved")))

    other, same = enter(new_house), enter(moved)
    assert other.value("SELECT to_regclass('kept')") is None
    assert same.value("SELECT answer FROM kept") == 42
    same.leave()
    clear(moved)


def test_who_was_in_a_house_when_it_was_deleted_counts_in_the_new_one(
    new_house: House, enter: Enter
) -> None:
    stays, passes = enter(new_house), enter(new_house)
    stays.value("SELECT 1")
    old = set(processes(new_house))
    rooms = new_house.rooms.resolve()
    shutil.rmtree(new_house.home)
    shutil.rmtree(rooms, ignore_errors=True)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert is_left(new_house)

    started = passes.value(STARTED)
    assert eventually(lambda: stays.ask(STARTED) == [[started]])
    passes.leave()

    assert not is_left(new_house, within=0.5)
    assert stays.value(STARTED) == started


def test_a_server_that_can_not_start_says_why(house: House, enter: Enter) -> None:
    settings = house.data / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("nonsense = 1\n")

    said = enter(house).ask("SELECT 1")

    settings.write_text(before)
    assert "did not start. Set DATABASE_URL to use another one." in str(said)
    assert 'unrecognized configuration parameter "nonsense"' in str(said)


def test_data_of_another_version_is_refused(house: House, enter: Enter) -> None:
    (house.data / "PG_VERSION").write_text("9\n")

    said = enter(house).ask("SELECT 1")

    (house.data / "PG_VERSION").write_text("18\n")
    assert "The data was written by PostgreSQL 9" in str(said)


def test_the_last_releases_name_of_the_keeper_still_starts_the_server(
    house: House, wheel: Path
) -> None:
    """A process that was started before an upgrade starts the keeper by that name."""
    with lock(house.users, fcntl.LOCK_SH):
        subprocess.run(
            [
                *(sys.executable, "-m", "promoportal.embedded.keeper"),
                *(house.home, wheel),
            ],
            cwd=ROOT,
            check=True,
        )

        assert eventually(lambda: "server" in processes(house).values())
    assert is_left(house)
