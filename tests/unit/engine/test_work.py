"""From rows to text: every row here says plainly which byte is the likeliest."""

from __future__ import annotations

import numpy as np
import pytest

from localassist.engine.detokenizer import Detokenizer
from localassist.engine.request import (
    FinishReason,
    Generation,
    GenerationRequest,
    SamplingParams,
)
from localassist.engine.sampler import Sampler
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.sequence import Sequence
from localassist.engine.work import NothingAllowedError, Work

VOCABULARY = ScriptedBackend()
END = "$"  # stands for the token that ends an answer
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


END_TOKEN = next(token for token in range(VOCABULARY.n_vocab) if VOCABULARY.is_end(token))


def tokens_of(text):
    return [END_TOKEN if character == END else ord(character) for character in text]


def rows_of(text, *, then=""):
    """A row for each character, which is the likeliest; those of `then` come after it."""
    rows = []
    for token in tokens_of(text):
        row = np.zeros(VOCABULARY.n_vocab, np.float32)
        row[tokens_of(then)] = [50.0 - 20 * place for place in range(len(then))]
        row[token] = 100.0
        rows.append(row)
    return rows


class Only:
    """A constraint: the answer is made of these characters and is complete at a length."""

    ends_repetition = False

    def __init__(self, characters, *, length=1000, begins=None, lacks=None):
        self.tokens = tokens_of(characters)
        self.begins = begins or {}
        self.lacks = lacks or {}
        self.length = length
        self.accepted = []

    @property
    def complete(self):
        return len(self.accepted) >= self.length

    def allows(self, token):
        return token in self.tokens

    def beginning_of(self, token):
        return self.begins.get(token)

    def forgotten_before(self, token):
        return self.lacks.get(token)

    def accept(self, token):
        assert self.allows(token)
        self.accepted.append(token)

    def allows_instead(self, token, refused):
        return self.allows(token)

    def mask_instead(self, refused):
        return np.isin(np.arange(VOCABULARY.n_vocab), self.tokens)


class Drafts:
    """A speculator that has always the same to say and notes what came of it."""

    def __init__(self, text=""):
        self.tokens = tokens_of(text)
        self.results = []

    def draft(self, tokens):
        return self.tokens

    def checked(self, *, drafted, accepted):
        self.results.append((drafted, accepted))


def work(*, stop=(), max_tokens=100, only=None, constraint=None, sampling=None, speculator=None):
    request = GenerationRequest([1, 2, 3], sampling or SamplingParams(), stop=stop)
    return Work(
        generation=Generation(request, cancel=lambda _: None),
        sequence=Sequence(tokens=[1, 2, 3], num_prompt_tokens=3, max_tokens=max_tokens),
        sampler=Sampler(request.sampling, seed=1),
        detokenizer=Detokenizer(stop=stop),
        vocabulary=VOCABULARY,
        constraint=constraint if only is None else Only(only[0], length=only[1]),
        speculator=speculator,
    )


def answer_tokens(one):
    return bytes(one.sequence.tokens[3:]).decode()


def told(one):
    """All the text that was told, the number of tokens, and the last reason."""
    one.generation.channel.close()
    events = list(one.generation)
    return (
        "".join(event.text for event in events),
        sum(event.num_tokens for event in events),
        events[-1].finish_reason,
    )


@pytest.mark.parametrize(
    ("rows", "draft", "taken"),
    [
        ("a", "", "a"),
        ("abc", "ab", "abc"),  # all was right, and one more comes of it
        ("abc", "xb", "a"),  # wrong at once
        ("abc", "ax", "ab"),  # what stands behind a wrong token is worth nothing
        ("abcd", "xbc", "a"),  # even if it would have been right
    ],
)
def test_a_draft_is_followed_as_long_as_it_is_what_the_model_writes(rows, draft, taken):
    drafts = Drafts()
    one = work(speculator=drafts)

    assert one.take(rows_of(rows), tokens_of(draft)) is None

    assert answer_tokens(one) == taken
    assert told(one) == (taken, len(taken), None)
    assert drafts.results == ([(len(draft), len(taken) - 1)] if draft else [])


@pytest.mark.parametrize(
    ("rows", "options", "text", "kept", "reason"),
    [
        ("ab$d", {}, "ab", "ab", STOP),
        ("$bcd", {}, "", "", STOP),
        ("abcd", {"max_tokens": 2}, "ab", "ab", LENGTH),
        ("abcd", {"max_tokens": 1}, "a", "a", LENGTH),
        ("abcd", {"max_tokens": 4}, "abcd", "abcd", LENGTH),
        ("abcd", {"stop": ("c",)}, "ab", "abc", STOP),
        ("abcd", {"stop": ("bc",)}, "a", "abc", STOP),
        ("abcd", {"stop": ("cd",)}, "ab", "abcd", STOP),
        ("abcd", {"stop": ("bc",), "max_tokens": 3}, "a", "abc", STOP),
        # What might have become a stop text is told when it cannot any more.
        ("abcd", {"stop": ("cx",), "max_tokens": 3}, "abc", "abc", LENGTH),
        ("abc$", {"stop": ("cx",)}, "abc", "abc", STOP),
        ("abcd", {"only": ("abcd", 2)}, "ab", "ab", STOP),
        ("abcd", {"only": ("abcd", 4)}, "abcd", "abcd", STOP),
    ],
)
@pytest.mark.parametrize("drafted", [True, False])
def test_an_answer_ends_where_it_should_inside_a_draft_and_without_one(
    drafted, rows, options, text, kept, reason
):
    one = work(**options)

    if drafted:
        found = one.take(rows_of(rows), tokens_of(rows[:-1]))
    else:
        found = next(filter(None, (one.take([row], []) for row in rows_of(rows))))

    assert found is reason
    assert answer_tokens(one) == kept
    assert told(one) == (text, len(kept), reason)


def test_an_answer_that_has_ended_is_closed_and_one_that_goes_on_is_not():
    ended, open_ = work(), work()
    ended.take(rows_of("$"), [])
    open_.take(rows_of("a"), [])
    for one in (ended, open_):
        assert one.generation.channel.get() is not None
    assert ended.generation.channel.exhausted
    assert not open_.generation.channel.exhausted


def test_ending_an_answer_tells_what_was_held_back():
    one = work(stop=("bcd",))
    one.take(rows_of("abc"), tokens_of("ab"))
    one.end(FinishReason.CANCELLED)
    assert told(one) == ("abc", 3, FinishReason.CANCELLED)


def test_a_character_of_several_tokens_is_told_once_it_is_whole():
    one = work()
    for byte in "ä".encode():
        one.take(rows_of(chr(byte)), [])
    channel = one.generation.channel
    assert [channel.get().text, channel.get().text] == ["", "ä"]


def test_the_next_draft_follows_what_was_taken():
    drafts = Drafts("xyz")
    one = work(speculator=drafts)
    one.take(rows_of("abc"), tokens_of("ab"))
    assert one.sequence.draft == tokens_of("xyz")
    drafts.tokens = []
    one.take(rows_of("d"), [])
    assert one.sequence.draft == []
    assert drafts.results == [(2, 2)]


@pytest.mark.parametrize(
    ("rows", "then", "allowed", "chosen"),
    [
        ("a", "bc", "abc", "a"),  # the likeliest may stand
        ("a", "bc", "bc", "b"),  # the likeliest that may
        ("a", "bc", "c", "c"),
        ("a", "", "z", "z"),  # however unlikely it is
        ("$", "bc", "bc", "b"),  # the answer may not end here
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_token_that_the_constraint_refuses_is_replaced(temperature, rows, then, allowed, chosen):
    constraint = Only(allowed)
    sampling = SamplingParams(temperature=temperature)
    one = work(constraint=constraint, sampling=sampling)

    assert one.take(rows_of(rows, then=then), []) is None

    assert answer_tokens(one) == chosen
    assert constraint.accepted == tokens_of(chosen)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_of_a_refused_token_what_may_stand_is_kept(temperature):
    constraint = Only("bc", begins={ord("a"): ord("c")})
    one = work(constraint=constraint, sampling=SamplingParams(temperature=temperature))

    one.take(rows_of("a", then="b"), [])

    assert answer_tokens(one) == "c"  # though b is likelier
    assert constraint.accepted == tokens_of("c")


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_before_a_refused_token_what_was_forgotten_is_written(temperature):
    constraint = Only("bc", lacks={ord("a"): ord("c")})
    one = work(constraint=constraint, sampling=SamplingParams(temperature=temperature))

    one.take(rows_of("a", then="b"), [])

    assert answer_tokens(one) == "c"
    assert constraint.accepted == tokens_of("c")


def test_the_end_of_the_answer_is_a_token_that_the_constraint_may_choose():
    constraint = Only("$")
    one = work(constraint=constraint)
    assert one.take(rows_of("a"), []) is STOP
    assert told(one) == ("", 0, STOP)


def test_a_draft_that_the_constraint_refuses_is_left_and_nothing_behind_it_is_accepted():
    constraint = Only("az")
    one = work(constraint=constraint)
    one.take(rows_of("abc", then="z"), tokens_of("ab"))
    assert answer_tokens(one) == "az"
    assert constraint.accepted == tokens_of("az")


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_where_the_constraint_admits_nothing_an_error_says_so(temperature):
    one = work(constraint=Only(""), sampling=SamplingParams(temperature=temperature))
    with pytest.raises(NothingAllowedError) as caught:
        one.take(rows_of("a"), [])
    assert caught.value.code == "constraint_failed"


class Promising(Only):
    """Its mask names more than may follow."""

    def mask_instead(self, refused):
        return np.isin(np.arange(VOCABULARY.n_vocab), tokens_of("bc"))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_what_a_mask_holds_and_may_not_follow_all_the_same_is_not_accepted(temperature):
    constraint = Promising("z")
    one = work(constraint=constraint, sampling=SamplingParams(temperature=temperature))
    with pytest.raises(NothingAllowedError) as caught:
        one.take(rows_of("a", then="b"), [])
    assert caught.value.code == "constraint_failed"
    assert (constraint.accepted, answer_tokens(one)) == ([], "")


def test_a_token_that_was_refused_is_not_penalised():
    sampling = SamplingParams(frequency_penalty=80.0)
    one = work(constraint=Only("bc"), sampling=sampling)
    one.take(rows_of("a", then="bc"), [])  # b instead of a
    one.constraint = None
    one.take(rows_of("a", then="bc"), [])
    assert answer_tokens(one) == "ba"


def test_the_number_of_cached_tokens_is_known_at_the_first_event():
    one = work()
    one.sequence.num_cached_tokens = 2
    one.take(rows_of("a"), [])
    assert one.generation.num_cached_tokens == 2
