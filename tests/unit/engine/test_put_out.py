"""Which idle conversations leave the context, as others would skip their cells, and come back."""

from __future__ import annotations

import pytest
from cache_picture import Context, Kept, text

from localassist.engine.sequence import Sequence


def beside(tokens, *, num_rows, hibernated=True):
    """A conversation that is idle while so many rows of another one are computed."""
    context = Context(stored=Kept())
    context.had(tokens)
    if hibernated:
        context.save_all()
    running = context.begin(text(9, num_rows))
    context.compute(running)
    return context


@pytest.mark.parametrize(("num_rows", "left"), [(31, [31, 100]), (32, [32])])
def test_a_hibernated_conversation_leaves_once_it_was_skipped_for_long(num_rows, left):
    context = beside(text(1, 100), num_rows=num_rows)
    assert context.put_out(text(9, num_rows)) == left


@pytest.mark.parametrize(("num_rows", "left"), [(31, [100]), (32, [])])
def test_it_leaves_at_once_where_it_will_be_skipped_for_long(num_rows, left):
    context = beside(text(1, 100), num_rows=0)
    assert context.put_out(text(2, 50), num_rows=num_rows) == left


def test_what_is_not_hibernated_or_lost_again_stays():
    unsaved = beside(text(1, 100), num_rows=50, hibernated=False)
    assert unsaved.put_out(text(9, 50)) == [50, 100]

    lost = beside(text(1, 100), num_rows=50)
    lost.stored.prefixes = [text(1, 99)]
    assert lost.put_out(text(9, 50)) == [50, 100]


@pytest.mark.parametrize(
    ("common", "left"), [(100, [50, 100]), (69, [50, 100]), (68, [50, 68]), (0, [50])]
)
def test_what_others_begin_with_stays_and_a_few_tokens_more(common, left):
    context = beside(text(1, 100), num_rows=50)
    assert context.put_out(text(9, 50), text(1, common) + text(2, 30)) == left


def test_what_has_left_is_restored_for_its_next_turn():
    context = beside(text(1, 100), num_rows=50)
    context.put_out(text(9, 50))
    assert context.begin(text(1, 120)).num_computed_tokens == 100


def test_the_few_tokens_that_are_not_hibernated_are_saved_as_it_leaves():
    context = beside(text(1, 100), num_rows=0)
    context.had(text(1, 115))
    assert context.put_out(text(9, 50), num_rows=50) == []
    assert context.begin(text(1, 120)).num_computed_tokens == 115


def test_what_is_restored_is_not_counted_as_computed():
    context = beside(text(1, 100), num_rows=0)
    context.stored.prefixes.append(text(2, 200))
    assert context.begin(text(2, 220)).num_computed_tokens == 200
    assert context.put_out(text(2, 220)) == [100, 200]


def two_behind_one_another(first, second, *, num_rows, hibernated=True):
    """The first one has left; where the second one is restored to, or stays, for another turn."""
    context = Context(stored=Kept())
    context.had(first)
    context.had(second)
    if hibernated:
        context.save_all()
    context.put_out(second, num_rows=99)
    sequence = Sequence([*second, 1, 2], len(second) + 2, max_tokens=100)
    context.carry_out(context.cache.gather(sequence, num_rows=num_rows))
    context.carry_out(context.cache.acquire(sequence))
    assert sequence.num_computed_tokens == len(second)
    return min(sequence.slot.cells)


@pytest.mark.parametrize(("num_rows", "place"), [(32, 100), (33, 0), (200, 0)])
def test_a_conversation_is_gathered_at_the_beginning_for_an_answer_that_is_worth_it(
    num_rows, place
):
    assert two_behind_one_another(text(1, 100), text(2, 103), num_rows=num_rows) == place


def test_what_lies_at_the_beginning_or_is_not_hibernated_stays_in_its_place():
    context = Context(stored=Kept())
    context.had(text(1, 100))
    context.save_all()
    assert not context.gather(text(1, 120))

    assert (
        two_behind_one_another(text(1, 100), text(2, 100), num_rows=1000, hibernated=False) == 100
    )


def test_a_conversation_stays_in_its_place_where_it_would_come_to_it_again():
    context = Context(stored=Kept())
    context.had(text(1, 100))  # is not hibernated, and stays before it
    context.stored.prefixes.append(text(2, 100))
    context.had(text(2, 100))
    context.save_all()
    context.cache.slots[0].num_saved = 0
    assert context.put_out(text(2, 100), num_rows=99) == [100, 100]
    assert not context.gather(text(2, 120))


@pytest.mark.parametrize("common", [49, 100])
def test_a_conversation_is_not_given_up_for_another_one_that_begins_alike(common):
    context = Context(stored=Kept())
    context.had(text(1, 100))
    context.had(text(2, 100))
    context.save_all()
    context.put_out(text(2, 100), num_rows=99)
    if common == 100:  # another slot holds its cells as well
        context.had([*text(2, 40), *text(3, 40)])
    assert not context.gather([*text(2, common), *text(4, 20)])


# --- what turned out to be lost ---


def lost(tokens, *, left=()):
    """A conversation that has just turned out not to be hibernated but for what is left of it."""
    context = beside(tokens, num_rows=50)
    lose(context, left=left)
    assert context.put_out(text(9, 50)) == [50, len(tokens)]
    return context


def lose(context, *, left=()):
    context.stored.prefixes = [left]


def saved(context):
    """Where what is saved now begins."""
    context.operations = []
    context.save_all()
    return [each.start for each in context.operations]


@pytest.mark.parametrize("num_left", [0, 40, 84])
def test_what_was_lost_is_saved_once_more_and_leaves_afterwards(num_left):
    context = lost(text(1, 100), left=text(1, num_left))
    assert saved(context) == [num_left]
    assert context.put_out(text(9, 50), num_rows=32) == [50]
    assert context.begin(text(1, 120)).num_computed_tokens == 100


def test_a_few_tokens_that_were_lost_are_saved_as_it_leaves():
    context = lost(text(1, 100), left=text(1, 90))
    assert saved(context) == []
    assert context.put_out(text(9, 50), num_rows=32) == [50]
    assert context.begin(text(1, 120)).num_computed_tokens == 100


def test_what_is_lost_again_is_saved_no_more_until_its_conversation_goes_on():
    context = lost(text(1, 100))
    assert saved(context) == [0]
    for _ in range(3):  # the budget is too small for it
        lose(context)
        assert context.put_out(text(9, 50), num_rows=32) == [50, 100]
        assert saved(context) == []

    context.had(text(1, 110))
    assert context.put_out(text(9, 50), num_rows=32) == [50, 110]
    assert saved(context) == [0]
    assert context.put_out(text(9, 50), num_rows=32) == [50]


def test_what_was_lost_is_gathered_only_after_it_was_saved_once_more():
    context = Context(stored=Kept())
    context.had(text(1, 100))
    context.had(text(2, 100))
    context.save_all()
    assert context.put_out(text(2, 100), num_rows=99) == [100]
    lose(context)
    assert not context.gather(text(2, 120))
    assert saved(context) == [0]
    assert context.gather(text(2, 120))
