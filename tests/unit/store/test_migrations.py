from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from localassist.store.connection import FILE_NAME, Store
from localassist.store.migrations import HISTORY, migrate


def test_a_fresh_home_has_the_whole_schema_and_no_backup(home):
    store = Store(home)
    tables = {row[0] for row in store.read().execute("SELECT name FROM sqlite_master")}
    assert {"assistant", "thread", "message", "run", "run_step", "lease", "tombstone"} <= tables
    assert not (home / "backups").exists()
    store.close()


def m002_later(db):
    db.execute("ALTER TABLE thread ADD COLUMN extra TEXT")


def m002_broken(db):
    db.execute("ALTER TABLE thread ADD COLUMN extra TEXT")
    db.execute("this is not SQL")


def columns(db):
    return [row[1] for row in db.execute("PRAGMA table_info(thread)")]


def test_the_file_is_copied_before_a_migration(home):
    store = Store(home)
    with store.write() as tx:
        tx.execute("INSERT INTO thread (id, created_at, metadata) VALUES ('thread_a', 1, '{}')")
    store.close()

    with closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as db:
        migrate(db, home / FILE_NAME, history=[*HISTORY, m002_later])
        assert "extra" in columns(db)

    (copy,) = (home / "backups").iterdir()
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT id FROM thread").fetchall() == [("thread_a",)]
        assert "extra" not in columns(db)


def test_a_migration_that_fails_leaves_the_file_as_it_was(home):
    Store(home).close()
    with closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, home / FILE_NAME, history=[*HISTORY, m002_broken])
        assert "extra" not in columns(db)
    Store(home).close()


def test_a_second_open_loads_nothing_of_sqlite_utils(home):
    Store(home).close()
    code = (
        "import sys; from pathlib import Path\n"
        "from localassist.store.connection import Store; Store(Path(sys.argv[1])).close()\n"
        "print('sqlite_utils' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
