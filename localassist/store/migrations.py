"""The schema and its history. A migration is never edited once released."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from localassist._lazy import require
from localassist.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlite_utils import Database

_SET = "localassist"
_APPLIED = "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid"
_HAS_HISTORY = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"

# `seq` orders a list, since several objects share a second; AUTOINCREMENT never reuses a number,
# so a deleted object's place stays known.
_INITIAL = (
    """
    CREATE TABLE assistant (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL, name TEXT, description TEXT, model TEXT NOT NULL,
        instructions TEXT, tools TEXT NOT NULL, temperature REAL, top_p REAL,
        response_format TEXT, reasoning_effort TEXT, metadata TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE thread (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL, metadata TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        thread_id TEXT NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
        role TEXT NOT NULL, status TEXT NOT NULL, content TEXT NOT NULL,
        assistant_id TEXT, run_id TEXT, created_at INTEGER NOT NULL, completed_at INTEGER,
        incomplete_at INTEGER, incomplete_details TEXT, metadata TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX message_by_thread ON message (thread_id, seq)",
    "CREATE INDEX message_by_run ON message (run_id, seq) WHERE run_id IS NOT NULL",
    """
    CREATE TABLE run (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        thread_id TEXT NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
        assistant_id TEXT NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL,
        instructions TEXT, tools TEXT NOT NULL, metadata TEXT NOT NULL,
        created_at INTEGER NOT NULL, expires_at INTEGER, started_at INTEGER,
        cancelled_at INTEGER, failed_at INTEGER, completed_at INTEGER,
        temperature REAL, top_p REAL, max_prompt_tokens INTEGER, max_completion_tokens INTEGER,
        truncation_strategy TEXT, response_format TEXT, tool_choice TEXT,
        parallel_tool_calls INTEGER NOT NULL, reasoning_effort TEXT,
        last_error TEXT, incomplete_details TEXT, usage TEXT, truncation TEXT
    ) STRICT
    """,
    "CREATE INDEX run_by_thread ON run (thread_id, seq)",
    # The thread's lock: the database itself refuses a second active run.
    """
    CREATE UNIQUE INDEX run_active ON run (thread_id)
        WHERE status IN ('queued', 'in_progress', 'requires_action', 'cancelling')
    """,
    """
    CREATE TABLE run_step (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        thread_id TEXT NOT NULL, assistant_id TEXT NOT NULL, type TEXT NOT NULL,
        status TEXT NOT NULL, step_details TEXT NOT NULL, created_at INTEGER NOT NULL,
        completed_at INTEGER, cancelled_at INTEGER, expired_at INTEGER, failed_at INTEGER,
        last_error TEXT, usage TEXT, metadata TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX run_step_by_run ON run_step (run_id, seq)",
    # Which process executes which run, and until when it may be believed alive.
    """
    CREATE TABLE lease (
        run_id TEXT PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
        owner TEXT NOT NULL, expires_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Where deleted objects stood, so that a page can go on after one of them.
    """
    CREATE TABLE tombstone (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, parent_id TEXT, seq INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)


def m001_initial(db: Database) -> None:
    """The first schema: conversations and runs."""
    for statement in _INITIAL:
        db.execute(statement)


def m002_required_action(db: Database) -> None:
    """Runs can wait for their caller."""
    db.execute("ALTER TABLE run ADD COLUMN required_action TEXT")


_FILES = (
    """
    CREATE TABLE file (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        bytes INTEGER NOT NULL, created_at INTEGER NOT NULL, filename TEXT NOT NULL,
        purpose TEXT NOT NULL, expires_at INTEGER, sha256 TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX file_by_content ON file (sha256)",
    "ALTER TABLE assistant ADD COLUMN tool_resources TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE thread ADD COLUMN tool_resources TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE message ADD COLUMN attachments TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE run ADD COLUMN file_ids TEXT NOT NULL DEFAULT '[]'",
)


def m003_files(db: Database) -> None:
    """Files, and which of them assistants, threads, messages and runs refer to."""
    for statement in _FILES:
        db.execute(statement)


_SEARCH = (
    """
    CREATE TABLE vector_store (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL, name TEXT, description TEXT, metadata TEXT NOT NULL,
        expires_after TEXT, expires_at INTEGER, last_active_at INTEGER, owner TEXT,
        generation INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    # The text of a file, shared by all stores that hold the same bytes under the same name.
    """
    CREATE TABLE document (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL, filename TEXT NOT NULL,
        status TEXT NOT NULL, error TEXT, num_pages INTEGER, pages_done INTEGER NOT NULL DEFAULT 0,
        usage_bytes INTEGER NOT NULL DEFAULT 0, owner TEXT, claimed_until REAL,
        UNIQUE (sha256, filename)
    ) STRICT
    """,
    "CREATE INDEX document_pending ON document (id) WHERE status = 'pending'",
    """
    CREATE TABLE page (
        document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
        number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (document_id, number)
    ) STRICT
    """,
    # What is embedded and found: a span of a page, in code points.
    """
    CREATE TABLE window (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
        page INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
        num_tokens INTEGER NOT NULL, vector BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX window_by_document ON window (document_id)",
    """
    CREATE VIEW window_content AS
        SELECT window.id AS id, document.filename AS title,
               substr(page.text, window.start + 1, window.stop - window.start) AS text
        FROM window JOIN document ON document.id = window.document_id
        JOIN page ON page.document_id = window.document_id AND page.number = window.page
    """,
    """
    CREATE VIRTUAL TABLE window_text USING fts5 (
        title, text, content='window_content', content_rowid='id',
        tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TABLE vector_store_file (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,
        vector_store_id TEXT NOT NULL REFERENCES vector_store (id) ON DELETE CASCADE,
        document_id INTEGER NOT NULL REFERENCES document (id), created_at INTEGER NOT NULL,
        status TEXT NOT NULL, last_error TEXT, usage_bytes INTEGER NOT NULL DEFAULT 0,
        chunking_strategy TEXT NOT NULL, attributes TEXT NOT NULL, batch_id TEXT,
        for_owner INTEGER NOT NULL DEFAULT 0,
        UNIQUE (vector_store_id, id)
    ) STRICT
    """,
    "CREATE INDEX vector_store_file_by_document ON vector_store_file (document_id)",
    "CREATE INDEX vector_store_file_by_file ON vector_store_file (id)",
    "CREATE INDEX vector_store_file_by_batch ON vector_store_file (batch_id)",
    """
    CREATE TABLE file_batch (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        vector_store_id TEXT NOT NULL REFERENCES vector_store (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "ALTER TABLE assistant ADD COLUMN attached TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE run ADD COLUMN vector_store_ids TEXT NOT NULL DEFAULT '[]'",
)


def m004_search(db: Database) -> None:
    """Vector stores, and the text and vectors of the files in them."""
    for statement in _SEARCH:
        db.execute(statement)


HISTORY: tuple[Callable[[Database], None], ...] = (
    m001_initial, m002_required_action, m003_files, m004_search
)  # fmt: skip


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    *,
    history: Sequence[Callable[[Database], None]] = HISTORY,
) -> None:
    """Apply what is pending of `history`, in one transaction, after a copy of the file.

    Raises:
        HomeError: a newer localassist has written the file.
    """
    known = [migration.__name__ for migration in history]
    applied = _applied(connection)
    if newer := [name for name in applied if name not in known]:
        raise HomeError(
            f"'{path}' was written by a newer localassist: its schema has '{newer[-1]}', "
            f"this version knows up to '{known[-1]}'.",
            code="home_too_new",
            param="home",
            hint="Upgrade localassist, or name another data folder.",
        )
    if applied == known:
        return
    if applied:
        _back_up(connection, path)
    # sqlite-utils loads numpy where it is installed: only a change of the schema pays for that.
    sqlite_utils = require("sqlite_utils", package="sqlite-utils")
    migrations = sqlite_utils.Migrations(_SET)
    for migration in history:
        migrations()(migration)
    # Another process may be opening the same file: whoever comes second finds nothing pending.
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(sqlite_utils.Database(connection))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _applied(connection: sqlite3.Connection) -> list[str]:
    if connection.execute(_HAS_HISTORY).fetchone() is None:
        return []
    return [row[0] for row in connection.execute(_APPLIED, (_SET,))]


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    with closing(sqlite3.connect(folder / f"{path.stem}-{stamp}{path.suffix}")) as copy:
        connection.backup(copy)
