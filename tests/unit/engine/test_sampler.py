from __future__ import annotations

from collections import Counter

import numpy as np

from localassist.engine.request import SamplingParams
from localassist.engine.sampler import Sampler

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def draws(params, *, logits=LOGITS, count=2000, seed=1):
    sampler = Sampler(params, seed=seed)
    return Counter(sampler.sample(logits) for _ in range(count))


def test_temperature_zero_takes_the_likeliest():
    assert draws(SamplingParams(temperature=0), count=5) == {0: 5}


def test_temperature_one_draws_by_probability():
    seen = draws(SamplingParams(temperature=1.0), count=4000)
    for token, probability in enumerate([0.5, 0.3, 0.15, 0.05]):
        assert abs(seen[token] / 4000 - probability) < 0.03


def test_a_high_temperature_flattens():
    assert draws(SamplingParams(temperature=100.0))[3] > 400


def test_top_k_keeps_so_many():
    assert set(draws(SamplingParams(temperature=2.0, top_k=2))) == {0, 1}


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    assert set(draws(SamplingParams(temperature=1.0, top_p=0.75))) == {0, 1}
    assert set(draws(SamplingParams(temperature=1.0, top_p=0.0))) == {0}


def test_min_p_drops_what_is_far_below_the_likeliest():
    assert set(draws(SamplingParams(temperature=1.0, min_p=0.25))) == {0, 1, 2}


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others():
    def sequence(seed):
        sampler = Sampler(SamplingParams(temperature=1.0), seed=seed)
        return [sampler.sample(LOGITS) for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)


def test_rows_with_infinities_do_not_break_it():
    logits = np.array([-np.inf, 3.0, -np.inf], np.float32)
    assert draws(SamplingParams(temperature=1.0), logits=logits, count=10) == {1: 10}
