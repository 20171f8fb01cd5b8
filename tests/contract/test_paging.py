"""Pages of lists: their order, their cursors, and walking through all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist import Client, ScriptedBackend, Settings
from localassist.api.runtime import Runtime

ORDERS = st.sampled_from(["asc", "desc"])


def thread_of(client, count):
    """A thread of `count` messages, and their ids, oldest first."""
    thread = client.beta.threads.create()
    ids = [
        client.beta.threads.messages.create(thread.id, role="user", content=str(i)).id
        for i in range(count)
    ]
    return thread.id, ids


def ids_of(page):
    return [each.id for each in page.data]


def in_order(ids, order):
    return ids if order == "asc" else ids[::-1]


@pytest.fixture
def messages(client):
    return client.beta.threads.messages


def test_limit_is_twenty_and_order_newest_first_unless_given(client):
    made = [client.beta.assistants.create(model="gpt-4").id for _ in range(21)]
    for params in ({}, {"limit": None, "order": None, "after": None, "before": None}):
        page = client.beta.assistants.list(**params)
        assert ids_of(page) == made[:0:-1]
        assert (page.first_id, page.last_id, page.has_more) == (made[20], made[1], True)
    page = client.beta.assistants.list(limit=100, order="asc")
    assert (ids_of(page), page.has_more) == (made, False)


def test_has_more_is_false_when_a_page_ends_with_the_list(client, messages):
    thread_id, ids = thread_of(client, 3)
    page = messages.list(thread_id, limit=3)
    assert (ids_of(page), page.has_more, page.has_next_page()) == (ids[::-1], False, False)
    page = messages.list(thread_id, limit=2)
    assert (ids_of(page), page.has_more, page.has_next_page()) == (ids[:0:-1], True, True)
    after = page.get_next_page()
    assert (ids_of(after), after.has_more) == ([ids[0]], False)


def test_the_page_behind_the_last_object_is_empty(client, messages):
    thread_id, ids = thread_of(client, 2)
    page = messages.list(thread_id, after=ids[0])
    assert (page.data, page.first_id, page.last_id, page.has_more) == ([], None, None, False)
    assert list(page) == []


@pytest.mark.parametrize(
    ("order", "cursors", "expected"),
    [
        ("asc", {"after": 3}, [4, 5]),
        ("desc", {"after": 3}, [2, 1]),
        ("asc", {"before": 3}, [1, 2]),
        ("desc", {"before": 3}, [5, 4]),
        ("asc", {"after": 1, "before": 9}, [2, 3]),
        ("asc", {"after": 1, "before": 3}, [2]),
        ("desc", {"after": 9, "before": 1}, [8, 7]),
        ("asc", {"after": 5, "before": 5}, []),
        ("asc", {"after": 8, "before": 2}, []),
    ],
)
def test_cursors_bound_a_page_in_the_requested_order(client, messages, order, cursors, expected):
    thread_id, ids = thread_of(client, 10)
    page = messages.list(
        thread_id, order=order, limit=2, **{name: ids[i] for name, i in cursors.items()}
    )
    assert ids_of(page) == [ids[i] for i in expected]


def test_iterating_goes_on_to_the_end(client, messages):
    thread_id, ids = thread_of(client, 7)
    for order in ("asc", "desc"):
        page = messages.list(thread_id, order=order, limit=3)
        assert [each.id for each in page] == in_order(ids, order)
        assert [each.id for each in page] == in_order(ids, order)
        assert [len(each.data) for each in page.iter_pages()] == [3, 3, 1]
    assert [each.id for each in messages.list(thread_id, after=ids[4], limit=2)] == ids[3::-1]


@pytest.mark.parametrize("bounds", [{"before": 6}, {"after": 1, "before": 8}])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_iterating_stays_before_the_before_cursor(client, messages, bounds, order):
    thread_id, ids = thread_of(client, 10)
    ordered = in_order(ids, order)
    cursors = {name: ordered[i] for name, i in bounds.items()}
    seen = [each.id for each in messages.list(thread_id, order=order, limit=2, **cursors)]
    assert seen == sorted(set(seen), key=ordered.index)
    assert set(seen) <= set(ordered[bounds.get("after", -1) + 1 : bounds["before"]])


@pytest.mark.parametrize("limit", [1, 2, 20])
def test_deleting_while_iterating_reaches_everything(client, messages, limit):
    for i in range(5):
        client.beta.assistants.create(model="gpt-4", name=str(i))
    deleted = []
    for assistant in client.beta.assistants.list(limit=limit):
        client.beta.assistants.delete(assistant.id)
        deleted.append(assistant.name)
    assert deleted == ["4", "3", "2", "1", "0"]
    assert client.beta.assistants.list().data == []

    thread_id, _ = thread_of(client, 5)
    for message in messages.list(thread_id, limit=limit, order="asc"):
        messages.delete(message.id, thread_id=thread_id)
    assert messages.list(thread_id).data == []


def test_a_deleted_cursor_keeps_its_place(home):
    with Client(home, backend=ScriptedBackend()) as client:
        thread_id, ids = thread_of(client, 5)
        client.beta.threads.messages.delete(ids[2], thread_id=thread_id)
    with Client(home, backend=ScriptedBackend()) as client:
        listed = client.beta.threads.messages.list
        assert ids_of(listed(thread_id, order="asc", after=ids[2])) == ids[3:]
        assert ids_of(listed(thread_id, order="asc", before=ids[2])) == ids[:2]
        assert ids_of(listed(thread_id, order="desc", after=ids[2])) == [ids[1], ids[0]]


@pytest.mark.parametrize("step", [0, -3600])
def test_order_is_that_of_creation_whatever_the_clock_says(home, step):
    clock = iter(range(2_000_000_000, 0, step)) if step else None
    runtime = Runtime(
        Settings(home=home),
        backend=ScriptedBackend(),
        now=lambda: next(clock) if clock else 1_700_000_000,
    )
    with Client.of(runtime) as client:
        thread_id, ids = thread_of(client, 8)
        found = client.beta.threads.messages.list(thread_id, order="asc").data
        assert [each.text for each in found] == [str(i) for i in range(8)]
        times = {each.created_at for each in found}
        assert times == {1_700_000_000} if step == 0 else len(times) == 8
        for index, cursor in enumerate(ids):
            page = client.beta.threads.messages.list(thread_id, order="asc", after=cursor)
            assert ids_of(page) == ids[index + 1 :]


def test_runs_and_steps_are_paged_like_everything(client, assistant):
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
    runs = client.beta.threads.runs
    made = [runs.create_and_poll(thread.id, assistant_id=assistant.id).id for _ in range(5)]
    for order in ("asc", "desc"):
        assert [r.id for r in runs.list(thread.id, order=order, limit=2)] == in_order(made, order)
    page = runs.list(thread.id, order="asc", after=made[1], before=made[4], limit=1)
    assert (ids_of(page), page.first_id, page.last_id) == ([made[2]], made[2], made[2])
    (step,) = runs.steps.list(made[0], thread_id=thread.id, limit=1)
    assert ids_of(runs.steps.list(made[0], thread_id=thread.id, after=step.id)) == []
    page = client.beta.threads.messages.list(thread.id, run_id=made[3], limit=1)
    assert (len(page.data), page.has_more, page.data[0].run_id) == (1, False, made[3])


def test_a_list_holds_only_what_belongs_to_it(client, messages):
    one, ids = thread_of(client, 2)
    two, others = thread_of(client, 2)
    assert (ids_of(messages.list(one)), ids_of(messages.list(two))) == (ids[::-1], others[::-1])


@given(
    count=st.integers(0, 12),
    order=ORDERS,
    limits=st.lists(st.integers(1, 5), min_size=12, max_size=12),
)
def test_pages_of_any_size_neither_skip_nor_repeat(client, count, order, limits):
    thread_id, ids = thread_of(client, count)
    seen, params = [], {}
    for limit in limits:
        page = client.beta.threads.messages.list(thread_id, order=order, limit=limit, **params)
        seen += ids_of(page)
        assert len(page.data) == min(limit, count - len(seen) + len(page.data))
        assert page.has_more == (len(seen) < count)
        if not page.has_more:
            break
        params = {"after": page.last_id}
    assert seen == in_order(ids, order)


@given(
    count=st.integers(1, 12),
    order=ORDERS,
    limits=st.lists(st.integers(1, 5), min_size=12, max_size=12),
    start=st.integers(0, 11),
)
def test_pages_read_backwards_neither_skip_nor_repeat(client, count, order, limits, start):
    thread_id, ids = thread_of(client, count)
    ordered = in_order(ids, order)
    cursor, seen = ordered[start % count], []
    for limit in limits:
        page = client.beta.threads.messages.list(thread_id, order=order, limit=limit, before=cursor)
        seen = ids_of(page) + seen
        assert page.has_more == (len(seen) < start % count)
        if not page.has_more:
            break
        cursor = page.first_id
    assert seen == ordered[: start % count]


@given(
    order=ORDERS,
    limit=st.integers(1, 4),
    deletions=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=10),
)
def test_what_is_deleted_on_the_way_moves_nothing(client, order, limit, deletions):
    """Each deletion is (after how many objects seen, which object)."""
    thread_id, ids = thread_of(client, 10)
    seen, deleted, unseen_deleted = [], set(), set()
    for each in client.beta.threads.messages.list(thread_id, order=order, limit=limit):
        for when, which in deletions:
            if when == len(seen) and ids[which] not in deleted:
                client.beta.threads.messages.delete(ids[which], thread_id=thread_id)
                deleted.add(ids[which])
                if ids[which] not in seen:
                    unseen_deleted.add(ids[which])
        seen.append(each.id)
    ordered = in_order(ids, order)
    assert seen == [each for each in ordered if each in set(seen)]
    assert set(ids) - set(seen) <= unseen_deleted
