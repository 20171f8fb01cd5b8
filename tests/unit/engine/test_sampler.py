from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from localassist.engine.request import SamplingParams
from localassist.engine.sampler import Sampler

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def row(*values):
    return np.array(values, np.float32)


def sequence(params, *, seed, count=50, logits=LOGITS):
    sampler = Sampler(params, seed=seed)
    return [sampler.sample(logits) for _ in range(count)]


def draws(params, *, logits=LOGITS, count=2000, seed=1):
    return Counter(sequence(params, seed=seed, count=count, logits=logits))


def expected(logits, params, *, margin=0.0):
    """Probabilities by the textbook: temperature, top_k, top_p of the rest, min_p of the rest.

    None where a threshold is met to within `margin`, so that rounding decides.
    """
    values = logits.astype(np.float64) / params.temperature
    order = np.argsort(-values, kind="stable")
    weights = np.exp(values[order] - values.max())
    if params.top_k:
        weights[params.top_k :] = 0
    weights /= weights.sum()
    reached, least = np.cumsum(weights)[:-1], params.min_p * weights[0]
    if params.top_p < 1:
        if min(abs(reached - params.top_p)) < margin:
            return None
        weights[1:][reached >= params.top_p] = 0
    if params.min_p:
        if min(abs(weights - least)) < margin and params.min_p < 1:
            return None
        weights[weights < least] = 0
    return dict(zip(order.tolist(), (weights / weights.sum()).tolist(), strict=True))


# --- temperature ---


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-9])
def test_without_temperature_the_likeliest_is_taken(temperature):
    assert draws(SamplingParams(temperature=temperature), count=50) == {0: 50}


def test_without_temperature_neither_seed_nor_filters_matter():
    logits = row(0.1, 0.3, 0.2)
    params = SamplingParams(temperature=0, top_k=1, top_p=0.1, min_p=0.9)
    assert {sequence(params, seed=seed, count=1, logits=logits)[0] for seed in range(20)} == {1}


def test_tokens_are_drawn_by_their_probability_to_the_power_of_one_by_temperature():
    for temperature in (0.5, 1.0, 2.0, 5.0):
        seen = draws(SamplingParams(temperature=temperature), count=4000)
        powers = np.array([0.5, 0.3, 0.15, 0.05]) ** (1 / temperature)
        for token, probability in enumerate(powers / powers.sum()):
            assert abs(seen[token] / 4000 - probability) < 0.03


def test_a_high_temperature_flattens():
    assert draws(SamplingParams(temperature=100.0))[3] > 400


# --- filters ---


def test_top_k_keeps_so_many():
    assert set(draws(SamplingParams(temperature=2.0, top_k=2))) == {0, 1}


def test_top_k_beyond_the_vocabulary_keeps_everything():
    assert set(draws(SamplingParams(temperature=1.0, top_k=1000))) == {0, 1, 2, 3}


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    assert set(draws(SamplingParams(temperature=1.0, top_p=0.75))) == {0, 1}
    assert set(draws(SamplingParams(temperature=1.0, top_p=0.0))) == {0}


def test_top_p_counts_what_top_k_left():
    """Of the first two, 0.5 and 0.3, the first has 0.625: enough for 0.6."""
    assert set(draws(SamplingParams(temperature=1.0, top_k=2, top_p=0.6))) == {0}


def test_min_p_drops_what_is_far_below_the_likeliest():
    assert set(draws(SamplingParams(temperature=1.0, min_p=0.25))) == {0, 1, 2}


@given(
    st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=12, unique=True),
    st.builds(
        SamplingParams,
        temperature=st.floats(0.3, 3),
        top_p=st.floats(0.05, 1),
        top_k=st.integers(0, 14),
        min_p=st.one_of(st.just(0.0), st.floats(0.01, 1)),
    ),
    st.integers(),
)
def test_filters_do_what_the_textbook_says(values, params, seed):
    logits = row(*values)
    assume(np.diff(np.sort(logits)).min() > 1e-4)
    wanted = expected(logits, params, margin=1e-5)
    assume(wanted is not None)
    seen = draws(params, logits=logits, count=300, seed=seed)
    assert all(wanted[token] > 0 for token in seen)
    for token, probability in wanted.items():
        assert abs(seen[token] / 300 - probability) < 0.2  # seven standard deviations


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, top_p=0.9),
        SamplingParams(temperature=1.0, min_p=0.4),
        SamplingParams(temperature=1.0, top_k=2000),
        SamplingParams(temperature=1.0, top_k=2500, top_p=0.95, min_p=0.3),
    ],
    ids=str,
)
def test_filters_hold_in_a_large_flat_vocabulary(params):
    logits = np.random.Generator(np.random.PCG64(5)).permutation(
        np.linspace(0, 1.5, 3000, dtype=np.float32)
    )
    wanted = expected(logits, params)
    kept = [token for token, probability in wanted.items() if probability > 0]
    assert len(kept) > 1024
    seen = draws(params, logits=logits, count=6000)
    almost_kept = list(wanted)[len(kept) : len(kept) + 3]  # by rounding
    assert set(seen) <= set(kept + almost_kept)
    assert set(seen) & set(kept[-100:]), "the least likely ones that are kept are drawn too"


@pytest.mark.parametrize(
    ("below", "others", "count"), [(8, 3000, 2000), (12, 100_000, 2000), (16.5, 100_000, 4000)]
)
def test_what_is_unlikely_but_many_is_drawn_as_often_as_it_weighs(below, others, count):
    logits = np.full(others + 1, -below, np.float32)
    logits[others // 2] = 0
    seen = draws(SamplingParams(temperature=1.0), logits=logits, count=count)
    weight = others * np.exp(-below)
    wanted = weight / (1 + weight)
    drawn = count - seen[others // 2]
    assert abs(drawn - count * wanted) < 4 * np.sqrt(count * wanted * (1 - wanted))
    assert drawn


@pytest.mark.parametrize("top_k", [0, 1, 2, 40])
def test_rows_with_infinities_do_not_break_it(top_k):
    params = SamplingParams(temperature=1.0, top_k=top_k)
    for size in (3, 500):
        logits = np.full(size, -np.inf, np.float32)
        logits[1] = 3.0
        assert draws(params, logits=logits, count=10) == {1: 10}


@pytest.mark.parametrize("top_k", [0, 40])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_without_a_greatest_number_still_give_a_token(value, top_k):
    logits = np.full(500, value, np.float32)
    (token,) = sequence(
        SamplingParams(temperature=1.0, top_k=top_k), seed=1, count=1, logits=logits
    )
    assert 0 <= token < 500


# --- seeds ---


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others():
    params = SamplingParams(temperature=1.0)
    assert sequence(params, seed=7) == sequence(params, seed=7)
    assert sequence(params, seed=7) != sequence(params, seed=8)


@pytest.mark.parametrize("seed", [-1, -(2**63), 0, 2**64 - 1, 2**64, 10**30])
def test_every_whole_number_is_a_seed(seed):
    params = SamplingParams(temperature=1.0)
    assert sequence(params, seed=seed) == sequence(params, seed=seed % 2**64)
    assert sequence(params, seed=seed) != sequence(params, seed=seed + 1)


# --- penalties ---


def test_penalties_leave_the_row_as_it_is():
    logits = row(1, -1, 0)
    logits.flags.writeable = False
    sampler = Sampler(
        SamplingParams(presence_penalty=1, frequency_penalty=1, repeat_penalty=2), seed=1
    )
    assert sampler.sample(logits) == 0
    assert sampler.sample(logits) in (0, 1, 2)
    assert logits.tolist() == [1, -1, 0]


def test_a_presence_penalty_counts_once():
    params = SamplingParams(presence_penalty=0.7)
    assert sequence(params, seed=1, count=4, logits=row(1.0, 0.5, 0.2)) == [0, 1, 0, 0]


def test_a_frequency_penalty_grows_with_every_repetition():
    params = SamplingParams(frequency_penalty=0.4)
    assert sequence(params, seed=1, count=5, logits=row(1.0, 0.5, -9)) == [0, 0, 1, 0, 1]


def test_a_negative_penalty_rewards_repetition():
    sampler = Sampler(SamplingParams(presence_penalty=-1.0), seed=1)
    assert sampler.sample(row(1.0, 0.5)) == 0
    assert sampler.sample(row(0.5, 1.0)) == 0


def test_openai_penalties_do_not_count_the_prompt():
    params = SamplingParams(presence_penalty=2, frequency_penalty=2, repeat_penalty=1.01)
    assert Sampler(params, seed=1, prompt=[0, 0]).sample(row(1.0, 0.5)) == 0


def test_a_repeat_penalty_counts_the_prompt_and_the_answer():
    sampler = Sampler(SamplingParams(repeat_penalty=4.0), seed=1, prompt=[0])
    assert sampler.sample(row(4.0, 3.0, 2.0)) == 1
    assert sampler.sample(row(4.0, 3.0, 2.0)) == 2


def test_a_repeat_penalty_makes_negative_logits_more_negative():
    sampler = Sampler(SamplingParams(repeat_penalty=2.0), seed=1, prompt=[0])
    assert sampler.sample(row(-1.0, -1.5)) == 1


# --- a token that may not stand ---


def test_a_replaced_token_is_not_counted_and_its_substitute_is():
    sampler = Sampler(SamplingParams(frequency_penalty=1, presence_penalty=1), seed=1)
    assert sampler.sample(row(1.0, 0.5, 0.0)) == 0
    sampler.replace(0, 1)
    assert sampler.sample(row(1.0, 0.5, 0.9)) == 0
    assert sampler.sample(row(-9, 0.5, -0.5)) == 2


def test_a_replaced_token_does_not_count_as_repeated():
    sampler = Sampler(SamplingParams(repeat_penalty=4.0), seed=1)
    assert sampler.sample(row(4.0, 3.0, 2.0)) == 0
    sampler.replace(0, 1)
    assert sampler.sample(row(4.0, 3.0, 2.0)) == 0


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=50), st.integers(1, 60))
def test_ranked_gives_the_likeliest_in_order(values, count):
    logits = row(*values)
    best = list(Sampler(SamplingParams(), seed=1).ranked(logits, count))
    assert len(set(best)) == len(best) == min(count, len(values))
    assert logits[best].tolist() == sorted(values, reverse=True)[:count]


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(-9, 9, width=32), st.just(-np.inf)), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([0.0, 0.7, 3.0]),
    st.integers(),
)
def test_best_of_chooses_among_the_allowed(pairs, temperature, seed):
    logits = row(*(value for value, _ in pairs))
    allowed = np.array([each for _, each in pairs])
    token = Sampler(SamplingParams(temperature=temperature), seed=seed).best_of(logits, allowed)
    if not allowed.any():
        assert token is None
    else:
        assert allowed[token]
        if temperature == 0:
            assert logits[token] == logits[allowed].max()


def test_best_of_draws_by_probability_of_the_allowed():
    sampler = Sampler(SamplingParams(temperature=1.0), seed=3)
    allowed = np.array([False, True, False, True])
    seen = Counter(sampler.best_of(LOGITS, allowed) for _ in range(4000))
    assert set(seen) == {1, 3}
    assert abs(seen[1] / 4000 - 0.3 / 0.35) < 0.03


def test_best_of_heeds_the_penalties():
    sampler = Sampler(SamplingParams(presence_penalty=1.0), seed=1)
    assert sampler.sample(row(1.0, 0.5)) == 0
    assert sampler.best_of(row(1.0, 0.5), np.array([True, True])) == 1


def test_ranked_heeds_the_penalties():
    sampler = Sampler(SamplingParams(presence_penalty=1.0), seed=1)
    assert sampler.sample(row(1.0, 0.5, 0.1)) == 0
    assert list(sampler.ranked(row(1.0, 0.5, 0.1), 3)) == [1, 2, 0]
