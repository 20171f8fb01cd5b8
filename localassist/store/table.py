"""Table: how one kind of object is stored: a row of columns, JSON where the API has structure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from localassist.errors import BadRequestError
from localassist.types._base import ALL_FIELDS, ListPage, Model

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from localassist.store.connection import Transaction

M = TypeVar("M", bound=Model)

_BURY = "INSERT INTO tombstone (id, kind, parent_id, seq) VALUES (?, ?, ?, ?)"
# What is unique in its parent only is buried under both ids.
_FIND_BURIED = """
SELECT seq FROM tombstone WHERE id IN (?, ?) AND kind = ? AND parent_id IS ?
"""
DEFAULT_LIMIT = 20


class Table(Generic[M]):
    """Rows of `model`. SQL is put together from our own constants; values are always bound."""

    def __init__(
        self,
        name: str,
        model: type[M],
        *,
        columns: Sequence[str],
        json_columns: Iterable[str] = (),
        defaulted: Iterable[str] = (),
        parent: str | None = None,
    ) -> None:
        """Describe the table.

        Args:
            name: the table.
            model: what a row becomes; it has a field for every column.
            columns: all columns but `seq`.
            json_columns: those that hold JSON.
            defaulted: those that are NULL unless the caller gave a value: the object then shows
                the model's default, and the column's name is missing in `model_fields_set`.
            parent: the column that lists are made by, or None for the whole table.
        """
        self.name = name
        self._model = model
        self._columns = tuple(columns)
        self._json = frozenset(json_columns)
        self._defaulted = frozenset(defaulted)
        self._parent = parent
        listed = ", ".join(self._columns)
        marks = ", ".join(f":{column}" for column in self._columns)
        self._insert = f"INSERT INTO {name} ({listed}) VALUES ({marks})"
        self._select = f"SELECT {listed}, seq FROM {name}"

    def insert(self, tx: Transaction, value: M) -> None:
        """Store a new object."""
        tx.execute(self._insert, self._row(value))

    def get(self, connection: sqlite3.Connection | Transaction, object_id: str) -> M | None:
        """The object, or None."""
        row = connection.execute(f"{self._select} WHERE id = ?", (object_id,)).fetchone()
        return None if row is None else self.read(row)

    def where(
        self, connection: sqlite3.Connection | Transaction, condition: str, values: Sequence[Any]
    ) -> list[M]:
        """All objects that fulfil `condition`, which is a constant of the caller."""
        sql = f"{self._select} WHERE {condition}"
        return [self.read(row) for row in connection.execute(sql, tuple(values))]

    def update(self, tx: Transaction, object_id: str, *, when: str = "TRUE", **values: Any) -> bool:
        """Set columns where the constant condition `when` holds; False if no row was changed."""
        sets = ", ".join(f"{column} = :{column}" for column in values)
        sql = f"UPDATE {self.name} SET {sets} WHERE id = :_id AND ({when})"
        row = {column: self._cell(column, value) for column, value in values.items()}
        return tx.execute(sql, {**row, "_id": object_id}).rowcount == 1

    def delete(self, tx: Transaction, object_id: str) -> bool:
        """Delete the object and remember its place; False if there was none."""
        parent = self._parent or "NULL"
        sql = f"DELETE FROM {self.name} WHERE id = ? RETURNING seq, {parent}"
        row = tx.execute(sql, (object_id,)).fetchone()
        if row is None:
            return False
        tx.execute(_BURY, (object_id, self.name, row[1], row[0]))
        return True

    def page(
        self,
        connection: sqlite3.Connection,
        *,
        parent_id: str | None = None,
        limit: int | None = None,
        order: str | None = None,
        after: str | None = None,
        before: str | None = None,
        also: str = "TRUE",
        values: Sequence[Any] = (),
    ) -> ListPage[M]:
        """One page of a list, newest first unless `order` is `asc`.

        Args:
            connection: a reading connection.
            parent_id: the object whose list it is.
            limit: at most so many objects (default 20).
            order: `asc` or `desc` by the order of insertion.
            after: id that the page follows, in the requested order.
            before: id that the page directly precedes, in the requested order.
            also: a further constant condition, with `values` for its question marks.
            values: see `also`.

        Raises:
            BadRequestError: a cursor that is not an object of this list.
        """
        ascending = order == "asc"
        limit = DEFAULT_LIMIT if limit is None else limit
        conditions, bound = [also], list(values)
        if self._parent is not None:
            conditions.append(f"{self._parent} = ?")
            bound.append(parent_id)
        for param, cursor, beyond in (
            ("after", after, ascending),
            ("before", before, not ascending),
        ):
            if cursor is not None:
                conditions.append("seq > ?" if beyond else "seq < ?")
                bound.append(self._place(connection, param, cursor, parent_id))
        # With only `before`, the page is the one next to the cursor: it is read backwards.
        backwards = before is not None and after is None
        direction = "ASC" if ascending != backwards else "DESC"
        sql = f"{self._select} WHERE {' AND '.join(conditions)} ORDER BY seq {direction} LIMIT ?"
        rows = connection.execute(sql, (*bound, limit + 1)).fetchall()
        has_more = len(rows) > limit
        data = [self.read(row) for row in rows[:limit]]
        if backwards:
            data.reverse()
        ends: list[Any] = [data[0], data[-1]] if data else []
        return ListPage[Any](
            data=data,
            first_id=ends[0].id if ends else None,
            last_id=ends[1].id if ends else None,
            has_more=has_more,
        )

    def _place(
        self, connection: sqlite3.Connection, param: str, cursor: str, parent_id: str | None
    ) -> int:
        own = "" if self._parent is None else f" AND {self._parent} = ?"
        keys = (cursor,) if self._parent is None else (cursor, parent_id)
        sql = f"SELECT seq FROM {self.name} WHERE id = ?{own}"
        row = connection.execute(sql, keys).fetchone()
        if row is None:
            buried = (cursor, f"{parent_id}/{cursor}", self.name, parent_id)
            row = connection.execute(_FIND_BURIED, buried).fetchone()
        if row is None:
            raise BadRequestError(
                f"Invalid '{param}': '{cursor}' is not in this list.",
                code="invalid_value",
                param=param,
                hint="Give the id of an object of the list.",
            )
        return int(row[0])

    def read(self, row: sqlite3.Row) -> M:
        """The object of a row."""
        values = {column: row[column] for column in self._columns}
        for column in self._json:
            if values[column] is not None:
                values[column] = json.loads(values[column])
        for column in self._defaulted:
            if values[column] is None:
                del values[column]
        return self._model.model_validate(values)

    def _row(self, value: M) -> dict[str, Any]:
        dumped = value.model_dump(context={"api_version": ALL_FIELDS})
        for column in self._defaulted - value.model_fields_set:
            dumped[column] = None
        return {column: self._cell(column, dumped[column]) for column in self._columns}

    def _cell(self, column: str, value: Any) -> Any:
        if column not in self._json or value is None:
            return value
        if isinstance(value, Model):
            value = value.model_dump(context={"api_version": ALL_FIELDS})
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
