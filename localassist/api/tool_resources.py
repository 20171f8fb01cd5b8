"""Which files tools have: both generations' spellings, stored as the later one's.

In the first generation, a file is attached to an assistant or a message, and every tool sees it. In
the later one, the code interpreter has a list of files and the search has a vector store. The
search of files that were attached the first way works through a vector store of our own, which is
made for their assistant or thread and goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.api import files, held_files, vector_stores
from localassist.errors import BadRequestError
from localassist.store import messages, threads, vector_store_files
from localassist.store import vector_stores as store_rows
from localassist.types.tool import code_files, searched_stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from localassist.api.runtime import Runtime
    from localassist.store.connection import Transaction
    from localassist.types.thread import Thread
    from localassist.types.vector_store import VectorStore

_THREAD_STORE_EXPIRES = {"anchor": "last_active_at", "days": 7}
_BOTH_TOOLS = [{"type": "code_interpreter"}, {"type": "file_search"}]


class NewStores:
    """Vector stores that parameters ask for; they are made in the transaction of their owner."""

    def __init__(self, runtime: Runtime, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what cannot be made.

        Raises:
            NotFoundError: a file that is not there.
        """
        self._runtime = runtime
        self._made = []
        for each in wanted:
            file_ids = list(each.get("file_ids") or ())
            param = "tool_resources.file_search.vector_stores[0].file_ids"
            files.check_exist(runtime, file_ids, param=param)
            chunking = held_files.stored_chunking(each.get("chunking_strategy"))
            store = vector_stores.build(runtime, dict(each))
            self._made.append((store, file_ids, chunking))

    @property
    def ids(self) -> list[str]:
        """Ids of what will be made."""
        return [store.id for store, _, _ in self._made]

    def insert(self, tx: Transaction, *, expires: bool) -> None:
        """Make them; those of threads expire when they are not used."""
        for store, file_ids, chunking in self._made:
            if expires:
                _expiring(store)
            store_rows.TABLE.insert(tx, store)
            for file_id in file_ids:
                held_files.attach(self._runtime, tx, store.id, file_id, chunking=chunking)


def stored_resources(
    runtime: Runtime, params: Mapping[str, Any], now: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any] | None, NewStores]:
    """`tool_resources` of an assistant's or thread's parameters, and the stores to be made.

    Args:
        runtime: whose files and stores they are.
        params: `tool_resources` of the later generation, `file_ids` of the first.
        now: the resources that the parameters change; what they do not speak of stays.

    Returns:
        None if nothing is given.

    Raises:
        NotFoundError: a file or a vector store that is not there.
        BadRequestError: both a vector store and a new one.
    """
    resources, file_ids = params.get("tool_resources"), params.get("file_ids")
    if resources is None and file_ids is None:
        return None, NewStores(runtime, ())
    stored = dict(now or {})
    code = (resources or {}).get("code_interpreter")
    if file_ids is not None:
        files.check_exist(runtime, file_ids, param="file_ids")
        stored["code_interpreter"] = {"file_ids": list(file_ids)}
    elif code is not None:
        given = list(code.get("file_ids") or ())
        files.check_exist(runtime, given, param="tool_resources.code_interpreter.file_ids")
        stored["code_interpreter"] = {"file_ids": given}
    return stored, _search(runtime, (resources or {}).get("file_search"), stored)


def _search(
    runtime: Runtime, search: Mapping[str, Any] | None, stored: dict[str, Any]
) -> NewStores:
    ids = (search or {}).get("vector_store_ids")
    wanted = (search or {}).get("vector_stores") or ()
    param = "tool_resources.file_search.vector_store_ids"
    if ids and wanted:
        raise BadRequestError(
            "Give either 'vector_store_ids' or 'vector_stores'.",
            code="invalid_request",
            param=param,
        )
    new = NewStores(runtime, wanted)
    if search is not None:
        vector_stores.check_usable(runtime, list(ids or ()), param=param)
        stored["file_search"] = {"vector_store_ids": [*(ids or ()), *new.ids]}
    return new


def with_code_files(resources: Mapping[str, Any] | None, file_ids: Iterable[str]) -> dict[str, Any]:
    """The resources with further files for the code interpreter, each once, in order."""
    known = [*code_files(resources), *file_ids]
    return {**(resources or {}), "code_interpreter": {"file_ids": list(dict.fromkeys(known))}}


def stored_attachments(runtime: Runtime, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`attachments` of a message's parameters; a file of the first generation is for both tools.

    Raises:
        NotFoundError: a file that is not there.
    """
    attachments = [
        {"file_id": each["file_id"], "tools": each.get("tools") or [{"type": "code_interpreter"}]}
        for each in params.get("attachments") or ()
    ]
    attachments += [
        {"file_id": file_id, "tools": list(_BOTH_TOOLS)} for file_id in params.get("file_ids") or ()
    ]
    ids = [each["file_id"] for each in attachments]
    files.check_exist(
        runtime, ids, param="attachments" if params.get("attachments") else "file_ids"
    )
    return attachments


def attached_for(attachments: Iterable[Mapping[str, Any]], tool: str) -> list[str]:
    """Ids of the files that are attached for a tool."""
    return [
        each["file_id"]
        for each in attachments
        if any(given["type"] == tool for given in each["tools"])
    ]


def hold(
    runtime: Runtime,
    tx: Transaction,
    resources: Mapping[str, Any] | None,
    file_ids: Sequence[str],
    *,
    owner: str,
) -> dict[str, Any]:
    """Have exactly these files, and what else they hold, in the stores that `resources` search.

    Those go into the owner's own store, which is made for the first of them. What was put into it
    for the owner and is not wanted any more is taken out of it.

    Returns:
        The resources with that store.
    """
    stored = dict(resources or {})
    own = store_rows.owned(tx, owner)
    if own is None:
        if not file_ids:
            return stored
        own = vector_stores.build(runtime, {}, owner=owner)
        if owner.startswith("thread_"):
            _expiring(own)
        store_rows.TABLE.insert(tx, own)
    held = {each.id: each for each in vector_store_files.of_store(tx, own.id)}
    for file_id in file_ids:
        if file_id not in held and files.exists(runtime, file_id):
            held_files.attach(runtime, tx, own.id, file_id, for_owner=True)
    for file_id, row in held.items():
        if row.for_owner and file_id not in file_ids:
            held_files.detach(tx, own.id, file_id)
    ids = [each for each in searched_stores(stored) if store_rows.TABLE.get(tx, each) is not None]
    if own.id not in ids:
        stored["file_search"] = {"vector_store_ids": [*ids, own.id]}
    return stored


def drop_owned(runtime: Runtime, tx: Transaction, owner: str) -> None:
    """Delete the store that was made for an assistant or a thread."""
    own = store_rows.owned(tx, owner)
    if own is not None:
        store_rows.TABLE.delete(tx, own.id)
        tx.after_commit(lambda: runtime.retrieval.indexes.forget(own.id))


def hold_attachments(
    runtime: Runtime,
    tx: Transaction,
    resources: Mapping[str, Any] | None,
    attachments: Sequence[Mapping[str, Any]],
    *,
    thread_id: str,
) -> dict[str, Any]:
    """A thread's resources with the files of a new message.

    What is attached for the search alone is indexed at once; what is attached for both tools, as in
    the first generation, only when a run is to search it.
    """
    code_ids = attached_for(attachments, "code_interpreter")
    stored = with_code_files(resources, code_ids) if code_ids else dict(resources or {})
    searched = [each for each in attached_for(attachments, "file_search") if each not in code_ids]
    if not searched:
        return stored
    own = store_rows.owned(tx, thread_id)
    ids = [each for each in searched_stores(stored) if store_rows.TABLE.get(tx, each) is not None]
    if own is None and ids:
        for file_id in searched:
            if vector_store_files.find(tx, ids[0], file_id) is None:
                held_files.attach(runtime, tx, ids[0], file_id)
        return stored
    held = [] if own is None else [each.id for each in vector_store_files.of_store(tx, own.id)]
    return hold(runtime, tx, stored, [*held, *searched], owner=thread_id)


def hold_thread_files(runtime: Runtime, tx: Transaction, thread: Thread) -> None:
    """Have all that is attached to a thread's messages searched by the run that begins."""
    attachments = messages.attachments_of_thread(tx, thread.id)
    wanted = list(dict.fromkeys(attached_for(attachments, "file_search")))
    own = store_rows.owned(tx, thread.id)
    if own is None and searched_stores(thread.tool_resources):
        # The thread's own choice of a store has got what is attached for the search alone.
        code = set(attached_for(attachments, "code_interpreter"))
        wanted = [each for each in wanted if each in code]
    resources = hold(runtime, tx, thread.tool_resources, wanted, owner=thread.id)
    if resources != thread.tool_resources:
        threads.TABLE.update(tx, thread.id, tool_resources=resources)


def _expiring(store: VectorStore) -> None:
    store.expires_after = dict(_THREAD_STORE_EXPIRES)
    store.expires_at = vector_stores.expiry(_THREAD_STORE_EXPIRES, store.created_at)
