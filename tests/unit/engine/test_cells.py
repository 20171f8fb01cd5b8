"""Cells are counted once however many slots hold them: compared with sets that hold them all."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.cells import Cells

ACTIONS = st.sampled_from(["take", "share", "run", "stop", "drop"])


def test_taken_cells_are_used_and_pinned_until_they_are_given_back():
    cells = Cells(10)
    taken = cells.take(4)
    assert (cells.num_used, cells.num_pinned) == (4, 4)

    cells.unpin(taken)
    assert (cells.num_used, cells.num_pinned) == (4, 0)

    cells.drop(taken)
    assert (cells.num_used, cells.num_pinned) == (0, 0)


def test_a_shared_cell_takes_one_place_and_stays_until_its_last_holder_drops_it():
    cells = Cells(10)
    taken = cells.take(4)
    cells.unpin(taken)
    cells.share(taken[:3])
    assert cells.num_used == 4

    cells.drop(taken)
    assert cells.num_used == 3

    cells.drop(taken[:3])
    assert cells.num_used == 0


def test_a_cell_that_two_running_slots_hold_is_pinned_once_and_until_both_have_ended():
    cells = Cells(10)
    taken = cells.take(4)
    cells.share(taken)
    cells.pin(taken)
    assert cells.num_pinned == 4

    cells.unpin(taken)
    assert cells.num_pinned == 4

    cells.unpin(taken)
    assert cells.num_pinned == 0


def test_cells_that_are_in_use_are_never_handed_out_again():
    cells = Cells(4)
    kept = cells.take(2)
    free = cells.take(2)
    cells.unpin(free)
    cells.drop(free)

    assert set(cells.take(2)).isdisjoint(kept)


def test_the_first_free_cells_are_taken():
    cells = Cells(8)
    first, second, third = cells.take(2), cells.take(3), cells.take(1)
    for freed in (third, first):
        cells.unpin(freed)
        cells.drop(freed)

    assert cells.take(4) == [*first, *third, max(third) + 1]
    assert max(second) < min(third)


@pytest.mark.parametrize("capacity", [0, 3])
def test_more_cells_than_were_known_of_can_be_taken(capacity):
    cells = Cells(capacity)
    first, second = cells.take(3), cells.take(5)
    assert cells.num_used == len({*first, *second}) == 8

    cells.unpin(first)
    cells.drop(first)
    assert (cells.num_used, cells.num_pinned) == (5, 5)


@given(st.integers(0, 30), st.lists(st.tuples(ACTIONS, st.integers(0, 40))))
def test_the_counts_are_those_of_the_cells_that_slots_hold(capacity, actions):
    cells = Cells(capacity)
    idle, running = [], []
    for action, number in actions:
        if action == "take":
            running.append(cells.take(number % 7))
        elif action == "share" and idle + running:
            source = (idle + running)[number % len(idle + running)]
            idle.append(source[: number % 7])
            cells.share(idle[-1])
        elif action == "run" and idle:
            running.append(idle.pop(number % len(idle)))
            cells.pin(running[-1])
        elif action == "stop" and running:
            idle.append(running.pop(number % len(running)))
            cells.unpin(idle[-1])
        elif action == "drop" and idle:
            cells.drop(idle.pop(number % len(idle)))

        held = Counter(cell for slot in idle + running for cell in slot)
        pinned = {cell for slot in running for cell in slot}
        assert (cells.num_used, cells.num_pinned) == (len(held), len(pinned))
