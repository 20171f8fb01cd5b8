from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from localassist import Client, HomeError, ScriptedBackend
from localassist.store import connection
from localassist.store.connection import Store
from localassist.store.threads import TABLE
from localassist.types.thread import Thread


def add(store, name):
    with store.write() as tx:
        TABLE.insert(tx, Thread(id=f"thread_{name}", created_at=1))


def names(store):
    return [thread.id for thread in TABLE.page(store.read(), order="asc").data]


def test_what_a_block_did_is_undone_when_it_raises(home):
    store = Store(home)
    add(store, "kept")
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        TABLE.insert(tx, Thread(id="thread_lost", created_at=1))
        raise ZeroDivisionError
    assert names(store) == ["thread_kept"]
    store.close()


def test_announcements_come_after_the_commit_and_not_after_a_failure(home):
    store = Store(home)
    told = []
    with store.write() as tx:
        tx.after_commit(lambda: told.append(names(store)))
        TABLE.insert(tx, Thread(id="thread_a", created_at=1))
        assert told == []
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        tx.after_commit(lambda: told.append("never"))
        raise ZeroDivisionError
    assert told == [["thread_a"]]
    store.close()


def test_writers_of_one_process_wait_for_each_other(home):
    store = Store(home)
    writers = [threading.Thread(target=add, args=(store, f"{i:02}")) for i in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(names(store)) == 20
    store.close()


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HomeError) as caught:
            Client(home, backend=ScriptedBackend())
        assert caught.value.code == "home_is_file"


def test_a_home_that_cannot_be_written_is_refused():
    # Everything is imported while root, who may do anything, still is root.
    code = (
        "import os, sys\n"
        "from localassist import Client, HomeError, ScriptedBackend\n"
        "backend = ScriptedBackend()\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: Client(sys.argv[1], backend=backend)\n"
        "except HomeError as error: print(error.code)\n"
    )
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        home = Path(parent) / "home"
        home.mkdir(mode=0o555)
        for folder in (home, home / "below"):
            done = subprocess.run(
                [sys.executable, "-c", code, str(folder)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout.strip() == "home_read_only", done.stderr


def test_a_home_of_a_newer_version_is_refused_and_left_alone(home):
    Store(home).close()
    with sqlite3.connect(home / connection.FILE_NAME) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('localassist', 'm999_future', '')"
        )
    db.close()
    before = (home / connection.FILE_NAME).read_bytes()
    with pytest.raises(HomeError, match="m999_future") as caught:
        Store(home)
    assert caught.value.code == "home_too_new"
    assert (home / connection.FILE_NAME).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(home):
    home.mkdir()
    (home / connection.FILE_NAME).write_bytes(b"not a database, but long enough to be read" * 50)
    with pytest.raises(HomeError) as caught:
        Store(home)
    assert caught.value.code == "home_damaged"


def test_a_full_disk_is_an_error_that_changes_nothing(home):
    store = Store(home)
    add(store, "kept")
    pages = store.read().execute("PRAGMA page_count").fetchone()[0]
    with store.write() as tx:
        tx.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError) as caught, store.write() as tx:
        thread = Thread(id="thread_big", created_at=1, metadata={"a": "x" * 100_000})
        TABLE.insert(tx, thread)
    assert caught.value.code == "disk_full"
    assert names(store) == ["thread_kept"]
    store.close()


def test_a_lock_that_another_process_holds_too_long_is_an_error(home):
    store = Store(home, busy_timeout_s=0.05)
    other = sqlite3.connect(home / connection.FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HomeError) as caught:
        add(store, "x")
    assert caught.value.code == "home_busy"
    other.execute("ROLLBACK")
    add(store, "x")
    other.close()
    store.close()


def test_processes_that_make_the_same_home_do_not_collide(home):
    code = "import sys; from pathlib import Path; from localassist.store.connection import Store\n"
    code += "Store(Path(sys.argv[1])).close(); print('ok')"
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert [child.communicate()[0].strip() for child in children] == ["ok"] * 6
