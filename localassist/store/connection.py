"""Store: the SQLite file of a data folder.

Any OS thread may call it. Writes share one connection behind one lock (`BEGIN IMMEDIATE`); reads
have a connection per OS thread, which WAL lets run beside a write. What a write announces is
published after its commit, in the order of commits.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localassist.errors import ClosedError, HomeError
from localassist.store.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE_NAME = "localassist.sqlite3"
_OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
_RETRY_S = 0.02

# Files that are open, each with the process that has opened it. SQLite keeps its locks for the
# process: one that was forked believes that it holds what its parent held, and would lose writes.
_open: set[tuple[int, int, Path]] = set()
# Connections of the parent: closing them would take its locks for one's own.
_inherited: list[sqlite3.Connection] = []


class Transaction:
    """A write in progress: statements, and what to announce once they are committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self._callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the commit, before another write begins; never if it fails."""
        self._callbacks.append(callback)

    def committed(self) -> None:
        """Run the callbacks."""
        for callback in self._callbacks:
            callback()


class _Reader:
    """A reading connection, which is closed when the OS thread that has it ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._process = os.getpid()

    def __del__(self) -> None:
        if self._process == os.getpid():
            self.connection.close()
        else:
            _inherited.append(self.connection)


class Store:
    """The state of one data folder."""

    def __init__(self, home: Path, *, busy_timeout_s: float = 10.0) -> None:
        """Open the folder's file; make both where they are missing; bring its schema up to date.

        Raises:
            HomeError: the folder is a file, read-only, full, busy, of a newer version, or was open
                when this process was forked.
        """
        _check_sqlite()
        self.home = home
        self.path = home / FILE_NAME
        _refuse_inherited(self.path)
        self._busy_timeout_s = busy_timeout_s
        self._write_lock = threading.Lock()
        self._local = threading.local()
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._closed = False
        _prepare_folder(home)
        with _typed_errors(home):
            self._writer = self._connect()
            self._use_wal()
            migrate(self._writer, self.path)
        self._entry = (os.getpid(), id(self), self.path.resolve())
        _open.add(self._entry)

    def _connect(self, *, query_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _use_wal(self) -> None:
        # Two processes that make the same file collide here, and the busy timeout does not cover
        # a change of journal mode.
        give_up_at = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One transaction; it is rolled back when the block raises.

        Raises:
            HomeError: the disk is full, or another process held the lock too long.
        """
        with self._write_lock:
            if self._closed:
                raise ClosedError("The client is closed.")
            connection = self._writer
            tx = Transaction(connection)
            with _typed_errors(self.home):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield tx
                    connection.execute("COMMIT")
                except BaseException:
                    # A full disk can have ended the transaction already.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            tx.committed()

    def read(self) -> sqlite3.Connection:
        """The calling OS thread's reading connection."""
        reader: _Reader | None = getattr(self._local, "reader", None)
        if self._closed:
            raise ClosedError("The client is closed.")
        if reader is None:
            with _typed_errors(self.home):
                reader = self._local.reader = _Reader(self._connect(query_only=True))
            self._readers.add(reader)
        return reader.connection

    def close(self) -> None:
        """Close every connection; later calls raise ClosedError."""
        with self._write_lock:
            self._closed = True
            self._writer.close()
            for reader in list(self._readers):
                reader.connection.close()
            _open.discard(self._entry)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise HomeError(
            f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed.",
            code="sqlite_too_old",
            hint="Use a newer build of Python.",
        )


def _refuse_inherited(path: Path) -> None:
    wanted = path.resolve()
    if any(wanted == known and process != os.getpid() for process, _, known in list(_open)):
        raise HomeError(
            f"The data folder '{path.parent}' was open when this process was forked.",
            code="home_inherited",
            param="home",
            hint="Fork before any client of it is opened, or start the process by 'spawn'.",
        )


def _prepare_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise HomeError(
            f"The data folder '{home}' is a file, or lies below one.",
            code="home_is_file",
            param="home",
            hint="Name a folder: Client(home=...) or LOCALASSIST_HOME.",
        ) from None
    except PermissionError:
        raise _read_only(home) from None
    except OSError as error:
        raise HomeError(
            f"The data folder '{home}' cannot be made: {error.strerror}.",
            code="home_unusable",
            param="home",
        ) from error


def _read_only(home: Path) -> HomeError:
    return HomeError(
        f"The data folder '{home}' cannot be written.",
        code="home_read_only",
        param="home",
        hint="Give yourself write permission, or name another folder with LOCALASSIST_HOME.",
    )


@contextmanager
def _typed_errors(home: Path) -> Iterator[None]:
    """Turn what SQLite says of the folder into an error that says what to do."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        text = str(error)
        if "readonly" in text or "unable to open" in text:
            raise _read_only(home) from error
        if "full" in text:
            raise HomeError(
                f"The disk of the data folder '{home}' is full; nothing was changed.",
                code="disk_full",
                hint="Free some space and try again.",
            ) from error
        if "locked" in text or "busy" in text:
            raise HomeError(
                f"Another process holds the write lock of '{home}'.",
                code="home_busy",
                hint="Try again, or raise the setting busy_timeout_s.",
            ) from error
        if "not a database" in text or "disk image is malformed" in text:
            raise HomeError(
                f"The file '{home / FILE_NAME}' is damaged or not localassist's ({text}).",
                code="home_damaged",
                hint="Restore it from the folder 'backups', or name another data folder.",
            ) from error
        raise
