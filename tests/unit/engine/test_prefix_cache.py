"""The cache's operations are carried out on a plain picture of the context, which must agree."""

from __future__ import annotations

import pytest
from cache_picture import Context, Kept, text
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.cache_operation import CopyPrefix, Restore, Save, Truncate
from localassist.engine.prefix_cache import common_prefix
from localassist.engine.sequence import Sequence


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_a_common_prefix_is_the_longest_one(start, a, b):
    a, b = start + a, start + b
    length = common_prefix(a, b)
    assert a[:length] == b[:length]
    assert length == min(len(a), len(b)) or a[length] != b[length]


# --- sharing ---


@pytest.mark.parametrize(
    ("idle", "wanted", "cached", "kinds"),
    [
        (text(1, 100), text(1, 150), 100, []),  # continued in place
        (text(1, 100), text(1, 60) + text(2, 9), 60, [Truncate]),  # most of it is kept
        (text(1, 100), text(1, 40) + text(2, 9), 40, [CopyPrefix]),  # the conversation stays
        (text(1, 100), text(1, 15) + text(2, 9), 0, []),  # not worth copying
        (text(1, 100), text(2, 50), 0, []),
        (text(1, 100), text(1, 100), 99, [Truncate]),  # the last token's logits are wanted
    ],
)
def test_a_sequence_begins_with_what_is_there(idle, wanted, cached, kinds):
    context = Context()
    context.had(idle)

    sequence = context.begin(wanted)

    assert sequence.num_computed_tokens == cached
    assert context.kinds() == kinds


def test_a_shared_prefix_takes_its_cells_once():
    context = Context()
    context.had(text(1, 100))
    sequence = context.begin(text(1, 40) + text(2, 9))
    context.compute(sequence)
    assert context.cache.cells.num_used == 100 + 9


def test_a_running_sequences_tokens_are_copied_and_its_slot_is_left_to_it():
    context = Context()
    running = context.begin(text(1, 100))
    context.compute(running)
    other = context.begin(text(1, 100) + text(2, 5))
    assert other.num_computed_tokens == 100
    assert other.slot is not running.slot
    assert context.cache.running_prefix(other) == 100


def test_the_slot_used_least_recently_is_given_away():
    context = Context(num_slots=3)
    for name in (1, 2, 3):
        context.had(text(name, 50))
    context.had(text(1, 60))

    context.begin(text(4, 50))

    held = [tokens[:1] for tokens in context.held.values()]
    assert sorted(held) == [[], text(1, 1), text(3, 1)]


def test_an_empty_slot_is_taken_before_any_conversation_is_given_up():
    context = Context(num_slots=2)
    context.had(text(1, 50))
    context.carry_out(context.cache.drop(context.begin(text(2, 50))))
    context.begin(text(3, 50))
    assert text(1, 50) in context.held.values()


# --- waiting ---


@pytest.mark.parametrize(
    ("computed", "common", "waits"),
    [(0, 200, True), (184, 200, True), (185, 200, False), (0, 16, True), (0, 15, False)],
)
def test_a_sequence_waits_for_what_another_one_is_just_computing(computed, common, waits):
    context = Context()
    running = context.begin(text(1, 300))
    context.compute(running, computed)

    assert (context.begin(text(1, common) + text(2, 50)) is None) is waits


def test_nobody_waits_for_a_prefix_that_is_there_or_hibernated_already():
    context = Context(stored=Kept(text(3, 200)))
    context.had(text(1, 200))
    context.begin(text(1, 150) + text(2, 100))
    context.begin(text(3, 300))
    assert context.begin(text(1, 150) + text(4, 9)) is not None
    assert context.begin(text(3, 200) + text(5, 9)) is not None


def test_nobody_waits_for_an_answer_or_for_a_sequence_that_is_gone():
    context = Context()
    first = context.begin(text(1, 200))
    assert context.begin(text(1, 300)) is None
    context.compute(first, 199)
    assert context.begin(text(1, 300)).num_computed_tokens == 199

    gone = context.begin(text(2, 200))
    context.carry_out(context.cache.drop(gone))
    assert context.begin(text(2, 300)) is not None


# --- eviction ---


def test_ends_that_nobody_shares_go_first_then_what_was_used_least_recently():
    context = Context()
    shared = context.had(text(1, 100))
    context.had(text(1, 40) + text(2, 20))
    alone = context.had(text(3, 50))

    def lengths(count):
        context.evict(count)
        return [len(tokens) for tokens in context.held.values()]

    assert lengths(1) == [40, 60, 50, 0]
    assert lengths(20) == [40, 40, 50, 0]
    assert lengths(1) == [40, 40, 0, 0]
    assert lengths(1) == [0, 0, 0, 0]  # both hold the same cells
    assert (shared.tokens, alone.tokens) == ([], [])


def test_what_is_running_is_not_evicted():
    context = Context()
    running = context.begin(text(1, 50))
    context.compute(running)
    context.evict(1000)
    assert context.held[running.slot.seq_id] == text(1, 50)
    assert context.kinds() == []


@pytest.mark.parametrize("taken", ["evict", "slot", "drop"])
@pytest.mark.parametrize(
    ("length", "saved"), [(15, []), (16, [16]), (600, [512, 600]), (1024, [512, 1024])]
)
def test_what_is_not_hibernated_is_saved_before_it_goes(taken, length, saved):
    context = Context(num_slots=1, stored=Kept())
    sequence = context.begin(text(1, length))
    context.compute(sequence)
    if taken == "drop":
        context.carry_out(context.cache.drop(sequence))
    else:
        context.cache.release(sequence)
    if taken == "evict":
        context.evict(1)
    elif taken == "slot":
        context.begin(text(2, 50))

    *saves, last = context.operations

    assert [(type(save), len(save.tokens)) for save in saves] == [(Save, end) for end in saved]
    assert last == Truncate(0, 0)
    assert [save.start for save in saves] == [0, *saved][: len(saved)]


@pytest.mark.parametrize(("dropped", "saved"), [(15, []), (16, [100])])
def test_whoever_drops_a_few_tokens_need_not_wait_until_the_rest_is_saved(dropped, saved):
    context = Context(num_slots=1, stored=Kept())
    context.had(text(1, 100))
    context.begin([*text(1, 100 - dropped), 7, 8])
    found = [len(each.tokens) for each in context.operations if isinstance(each, Save)]
    assert found == saved
    assert context.operations[-1] == Truncate(0, 100 - dropped)


def test_idle_conversations_are_saved_in_pieces_the_newest_first_and_once():
    context = Context(stored=Kept())
    context.had(text(1, 600))
    context.had(text(2, 30))
    found = []
    while context.cache.has_unsaved:
        save = context.cache.unsaved()
        context.carry_out([save])
        found.append((save.tokens[0] // 1000, save.start, len(save.tokens)))
    assert found == [(2, 0, 30), (1, 0, 512), (1, 512, 600)]
    assert context.cache.unsaved() is None
    context.operations.clear()
    context.evict(1000)
    assert set(context.kinds()) == {Truncate}


def test_a_turn_saves_only_its_own_tokens():
    context = Context(stored=Kept())
    context.had(text(1, 100))
    context.cache.unsaved()
    context.had(text(1, 130))
    save = context.cache.unsaved()
    assert (save.start, save.tokens) == (100, text(1, 130))


# --- restoring ---


@pytest.mark.parametrize(
    ("kept", "live", "restored"), [(100, 0, (0, 100)), (100, 60, (60, 100)), (91, 60, None)]
)
def test_what_is_hibernated_and_not_there_is_restored(kept, live, restored):
    context = Context(stored=Kept(text(1, kept)))
    if live:
        context.cache.append(context.cache.slots[0], text(1, live))
        context.held[0] = text(1, live)
        context.cache.cells.unpin(context.cache.slots[0].cells)

    sequence = context.begin(text(1, 120))

    found = [(each.start, each.end) for each in context.operations if isinstance(each, Restore)]
    assert found == ([restored] if restored else [])
    assert sequence.num_computed_tokens == (kept if restored else live)


@pytest.mark.parametrize(("idle", "common"), [((), 100), ((1, 110), 100), ((1, 300), 100)])
def test_what_was_restored_copied_or_continued_is_not_saved_again(idle, common):
    context = Context(stored=Kept(text(1, 100)))
    if idle:
        context.had(text(*idle))
        context.cache.unsaved()
    sequence = context.begin(text(1, common) + text(2, 20))
    context.compute(sequence)
    context.cache.release(sequence)
    save = context.cache.unsaved()
    assert (save.start, save.tokens) == (common, sequence.tokens)


def test_less_may_be_restored_than_was_hoped_for():
    context = Context(stored=Kept(text(1, 100)))
    sequence = Sequence(text(1, 120), 120, max_tokens=10)
    (restore,) = context.cache.acquire(sequence)
    assert (restore.start, restore.end) == (0, 100)
    context.cache.restored(sequence, 40)
    assert sequence.num_computed_tokens == len(sequence.slot.tokens) == 40


# --- blocks ---


@pytest.mark.parametrize(
    ("steps", "reused"),
    [([8, 8, 8], 24), ([8, 8, 5], 16), ([8, 3, 5, 8], 8), ([3, 5, 8], 0), ([16, 8], 0)],
)
def test_only_whole_blocks_that_were_computed_as_one_are_used_again(steps, reused):
    context = Context(num_slots=1, stored=Kept(), block=8)
    first = context.begin(text(1, sum(steps)))
    for step in steps:
        context.compute(first, step)
    context.cache.release(first)
    save = context.cache.unsaved()

    assert context.begin(text(1, 100)).num_computed_tokens == reused
    assert (len(save.tokens) if save else 0) == (reused if reused >= 16 else 0)


def test_what_is_computed_anew_behind_a_shared_beginning_is_judged_anew():
    context = Context(num_slots=1, block=8)
    tokens = text(1, 8) + text(2, 20)
    for wanted, steps in ((text(1, 24), [8, 8, 8]), (tokens, [3, 5, 8])):
        sequence = context.begin(wanted)
        for step in steps:
            context.compute(sequence, step)
        context.cache.release(sequence)
    assert context.begin(tokens).num_computed_tokens == 8


def test_only_whole_blocks_are_restored():
    context = Context(stored=Kept(text(1, 100)), block=8)
    assert context.begin(text(1, 120)).num_computed_tokens == 96


# --- everything ---

ACTIONS = st.sampled_from(
    ["begin", "compute", "release"] * 3 + ["rewind", "drop", "evict", "save", "put out"]
)
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 119)), min_size=30, max_size=60)


@given(STEPS, st.sampled_from([1, 8]), st.booleans())
def test_the_books_always_agree_with_the_context(steps, block, hibernates):
    context = Context(stored=Kept() if hibernates else None, block=block)
    cache, running = context.cache, []
    for action, number in steps:
        sequence = running[number % len(running)] if running else None
        if action == "begin":
            begun = context.begin(text(0, number) + text(1 + number % 3, 120))
            running += [begun] if begun else []
        elif action == "evict":
            context.evict(number)
        elif action == "put out":
            context.put_out(*(each.tokens for each in running), num_rows=number)
            context.gather(text(0, number) + text(1 + number % 3, 120))
        elif action == "save":
            context.carry_out([save] if (save := cache.unsaved()) else [])
        elif sequence is not None and action == "compute":
            context.compute(sequence, number if block == 1 else block)
        elif sequence is not None and action == "rewind":
            context.carry_out(cache.rewind(sequence.slot, number))
            sequence.num_computed_tokens = len(sequence.slot.tokens)
        elif sequence is not None:
            running.remove(sequence)
            context.carry_out(cache.drop(sequence) if action == "drop" else [])
            cache.release(sequence)

        cells = {cell for slot in cache.slots for cell in slot.cells}
        pinned = {cell for slot in cache.slots if slot.owner for cell in slot.cells}
        assert (cache.cells.num_used, cache.cells.num_pinned) == (len(cells), len(pinned))
        assert {slot.owner for slot in cache.slots} - {None} == set(running)
        for each in running:
            assert each.slot.tokens == each.tokens[: each.num_computed_tokens]
