"""The engine on real weights: restarts, damaged caches, exactness, grammars, copying, crowds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import SMALL, SMOL

from localassist import Settings
from localassist.api.runtime import Runtime
from localassist.engine.calibration import Calibration
from localassist.engine.chat_template import ChatMessage
from localassist.engine.constraint import Grammar
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

STORY = (
    "The old lighthouse keeper climbed ninety-four steps every evening, carrying a brass lamp, "
    "a tin of oil and a letter that nobody had ever answered. He wound the clock, wiped the salt "
    "from the glass and listened to the gulls arguing over the last herring of the day."
)
QUESTION = f"{STORY} Across the bay lived his sister Ada, who mended nets. What did he carry?"
LONG = f"{STORY} {QUESTION}"  # more than a block of what `deterministic` computes at once
BLOCK = 128
GREEDY = SamplingParams(temperature=0.0)
DRAWN = SamplingParams(temperature=0.9, seed=4711)


@contextmanager
def opened(home, model=SMOL, **settings):
    """The engine of a new runtime on a data folder."""
    settings = {"n_ctx": 1024, "models": Settings.from_env().models, **settings}
    runtime = Runtime(Settings(home=home, model=model, **settings))
    try:
        with runtime.engines.use(model) as engine:
            yield engine
    finally:
        runtime.close()


def submit(engine, *turns, **options):
    roles = ["user", "assistant"]
    messages = [ChatMessage(roles[i % 2], text) for i, text in enumerate(turns)]
    options.setdefault("max_tokens", 12)
    return engine.submit(GenerationRequest(engine.encode_chat(messages), **options))


def read(generation):
    events = list(generation)
    return "".join(event.text for event in events), events[-1].finish_reason


def ask(engine, *turns, **options):
    """The answer and how many tokens of the prompt were not cached."""
    generation = submit(engine, *turns, **options)
    text, _ = read(generation)
    return text, generation.num_prompt_tokens - generation.num_cached_tokens


def wait_for(condition, *, seconds=200):
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come"
        time.sleep(0.01)


def kv_files(home):
    return sorted(home.glob("kv/*/*.kv"))


# --- restarts ---


def test_a_conversation_goes_on_after_a_restart_as_if_there_had_been_none(tmp_path):
    stayed, restarted = tmp_path / "stayed", tmp_path / "restarted"
    with opened(stayed) as engine:
        first, _ = ask(engine, QUESTION)
        wait_for(lambda: kv_files(stayed))
        shutil.copytree(stayed / "kv", restarted / "kv")
        without, new = ask(engine, QUESTION, first, "Who mended nets?")
    with opened(restarted) as engine:
        text, computed = ask(engine, QUESTION, first, "Who mended nets?")
    assert new - 1 <= computed <= new + 1 < 30
    assert text == without


def test_an_idle_conversation_is_out_of_another_s_way_and_only_its_new_words_are_read(tmp_path):
    with opened(tmp_path) as engine:
        first, num_tokens = ask(engine, QUESTION)
        wait_for(lambda: kv_files(tmp_path))
        ask(engine, "Name a colour.", max_tokens=40)
        assert engine.stats.cells_used < num_tokens
        text, computed = ask(engine, QUESTION, first, "Who mended nets?")
        assert computed < 30
        assert text.strip()


def test_a_conversation_goes_on_after_kill_9(tmp_path):
    code = (
        "import json\n"
        "from pathlib import Path\n"
        "from test_engine_real import QUESTION, ask, opened\n"
        "with opened(Path(sys.argv[1])) as engine:\n"
        "    print(json.dumps(ask(engine, QUESTION)[0]), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path += {path}\n{code}", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    first = json.loads(child.stdout.readline())
    wait_for(lambda: kv_files(tmp_path))
    child.kill()
    child.communicate()
    with opened(tmp_path) as engine:
        text, computed = ask(engine, QUESTION, first, "Who mended nets?")
    assert text.strip()
    assert computed < 30


# --- caches that are damaged or gone ---


def truncated(data):
    return data[:-1000]


def flipped_at(part):
    def flipped(data):
        data = bytearray(data)
        data[int(part * (len(data) - 1))] ^= 0x10
        return bytes(data)

    return flipped


def test_damaged_files_change_no_answer_and_are_removed(tmp_path):
    """With `deterministic`, answers can be compared to the letter; each file holds a block."""
    turns = [LONG, "A brass lamp, a tin of oil and a letter.", f"{STORY} {STORY} What is wet?"]
    with opened(tmp_path / "cold", deterministic=True) as engine:
        cold, num_tokens = ask(engine, *turns)
    with opened(tmp_path / "whole", deterministic=True) as engine:
        ask(engine, LONG, max_tokens=1)
        wait_for(lambda: kv_files(tmp_path / "whole"))
        ask(engine, *turns)
    for name, damage, num_whole in (
        ("truncated", truncated, 0),
        ("empty", lambda _: b"", 0),
        ("header", flipped_at(0.0001), 0),
        ("data", flipped_at(0.5), 0),
        ("end", flipped_at(1), 1),
    ):
        home = tmp_path / name
        shutil.copytree(tmp_path / "whole", home)
        files = sorted(kv_files(home), key=lambda path: int(path.name.split("-")[1]))
        assert len(files) == 2
        for path in files[num_whole:]:
            path.write_bytes(damage(path.read_bytes()))
        first_damaged = files[num_whole]
        data = first_damaged.read_bytes()
        with opened(home, deterministic=True) as engine:
            assert ask(engine, *turns) == (cold, num_tokens - num_whole * BLOCK), name
        # Another one is written in its place.
        assert not first_damaged.exists() or first_damaged.read_bytes() != data, name


def test_files_under_each_other_s_names_change_no_answer(tmp_path):
    whole, swapped = tmp_path / "whole", tmp_path / "swapped"
    with opened(whole, deterministic=True) as engine:
        cold, num_tokens = ask(engine, LONG)
        ask(engine, QUESTION + STORY * 2)
    shutil.copytree(whole, swapped)
    first, second = kv_files(swapped)
    data = first.read_bytes()
    second.replace(first)
    second.write_bytes(data)
    for _ in range(2):
        with opened(swapped, deterministic=True) as engine:
            text, computed = ask(engine, LONG)
            assert text == cold
            assert computed in (num_tokens, num_tokens - BLOCK)


def test_the_folder_of_caches_may_be_deleted_at_any_time(tmp_path):
    """Nothing is kept in memory, and the other conversation takes the place of the first one."""
    with opened(tmp_path, deterministic=True, kv_ram_mb=0) as engine:
        first, num_tokens = ask(engine, LONG)
        wait_for(lambda: kv_files(tmp_path))
        ask(engine, STORY)
        assert ask(engine, LONG) == (first, num_tokens - BLOCK)
        shutil.rmtree(tmp_path / "kv")
        ask(engine, STORY)
        assert ask(engine, LONG) == (first, num_tokens)
        wait_for(lambda: kv_files(tmp_path))
    shutil.rmtree(tmp_path / "kv")
    with opened(tmp_path, deterministic=True) as engine:
        assert ask(engine, LONG) == (first, num_tokens)


# --- exactness ---


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_deterministic_answers_do_not_depend_on_what_else_happens(tmp_path, sampling):
    with opened(tmp_path, deterministic=True) as engine:
        cold, num_tokens = ask(engine, LONG, sampling=sampling)
        warm, num_warm = ask(engine, LONG, sampling=sampling)
        others = [submit(engine, f"{STORY} {i}", sampling=sampling) for i in range(2)]
        beside = submit(engine, LONG, sampling=sampling)
        others.append(submit(engine, LONG + " Say it in French.", sampling=sampling))
        crowded, _ = read(beside)
        assert all(read(other)[0] for other in others)
    with opened(tmp_path, deterministic=True) as engine:
        restarted, num_restarted = ask(engine, LONG, sampling=sampling)
    assert num_warm == num_restarted == num_tokens - BLOCK
    assert cold.strip()
    assert [warm, crowded, restarted] == [cold] * 3


# --- cancelling ---


@pytest.mark.parametrize("deterministic", [False, True], ids=["fast", "deterministic"])
def test_a_long_prompt_is_given_up_in_the_middle(tmp_path, deterministic):
    options = {"n_ctx": 4096, "deterministic": deterministic}
    with opened(tmp_path / "fresh", **options) as engine:
        fresh, _ = ask(engine, "What is the capital of France?")
        fresh_story, _ = ask(engine, STORY * 3) if deterministic else ("", 0)
    with opened(tmp_path / "home", **options) as engine:
        generation = submit(engine, STORY * 60)
        assert generation.num_prompt_tokens > 3000
        wait_for(lambda: engine.stats.cells_used > 0)
        generation.cancel()
        assert read(generation) == ("", FinishReason.CANCELLED)
        assert engine.stats.cells_used < 2000
        text, _ = ask(engine, "What is the capital of France?")
        assert text == fresh
        if deterministic:
            assert ask(engine, STORY * 3)[0] == fresh_story


def test_cancelling_what_is_done_disturbs_nothing_while_speed_is_measured(tmp_path, caplog):
    with opened(tmp_path) as engine:
        done = submit(engine, QUESTION, max_tokens=1)
        read(done)
        wait_for(lambda: kv_files(tmp_path))
        done.cancel()
        text, computed = ask(engine, QUESTION)
        wait_for(lambda: engine._loop.pace.known)
    assert list((tmp_path / "speed").glob("*.json")), "all was measured in the end"
    assert text.strip()
    assert computed == 1
    assert [r.message for r in caplog.records if r.name == "localassist.engine"] == []


def test_closing_while_speed_is_measured_is_no_failure(tmp_path, caplog):
    with opened(tmp_path) as engine:
        ask(engine, QUESTION)
        wait_for(lambda: kv_files(tmp_path))
    assert [r.message for r in caplog.records if r.name == "localassist.engine"] == []


# --- the larger model: grammars and copying ---


class QuietMachine:
    """Times of steps as they are while nobody else computes: 16 rows cost four single ones."""

    def __init__(self, backend):
        self.fingerprint, self.max_threads = backend.fingerprint, backend.max_threads
        self.side_ctx, self.splits_evenly = backend.side_ctx, backend.splits_evenly

    def use_threads(self, num_threads):
        pass

    def time_rows(self, num_rows):
        return 0.02 * (0.8 + 0.2 * num_rows)

    def time_apart(self):
        return 0.025


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An engine that is calibrated, and not by what else runs here just now."""
    home = tmp_path_factory.mktemp("small")
    with opened(home, SMALL) as engine:
        calibration = Calibration(QuietMachine(engine._backend), home / "speed")
    while not calibration.done:
        calibration.measure()
    with opened(home, SMALL) as engine:
        wait_for(lambda: engine._loop.pace.known)
        yield engine


def test_what_is_known_of_a_branch_is_what_would_be_computed_again(small):
    prompt = small.encode_chat([ChatMessage("user", "Name five fruits in one line.")])
    request = GenerationRequest(prompt, max_tokens=40, branches_at=b",")
    said = [token for event in small.submit(request) for token in event.tokens]
    comma = next(i for i, token in enumerate(said) if b"," in small._backend.token_bytes(token))

    def look(max_tokens):
        before = small.times.num_steps
        behind = [*prompt, *said[:comma]]
        asked = GenerationRequest(behind, max_tokens=max_tokens, watched=(said[comma],))
        generation = small.submit(asked)
        read(generation)
        return generation.first_logprobs[said[comma]], small.times.num_steps - before

    known, num_steps = look(1)
    computed, num_computed = look(2)
    assert (num_steps, num_computed > 0) == (0, True)
    assert known == pytest.approx(computed, abs=0.05)


@pytest.mark.parametrize("sampling", [GREEDY] + [SamplingParams(1.0, seed=s) for s in range(4)])
def test_an_answer_keeps_to_its_schema(small, sampling):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "age": {"type": "integer", "minimum": 18, "maximum": 99},
            "skills": {
                "type": "array",
                "items": {"enum": ["nets", "lamps", "clocks"]},
                "minItems": 1,
                "maxItems": 3,
            },
        },
        "required": ["name", "age", "skills"],
        "additionalProperties": False,
    }
    generation = submit(
        small,
        "Describe a lighthouse keeper. Begin with a greeting, then explain at length.",
        sampling=sampling,
        max_tokens=200,
        constraint=small.constrain(Grammar("json_schema", json.dumps(schema))),
    )
    text, reason = read(generation)
    assert reason is FinishReason.STOP
    value = json.loads(text)
    assert sorted(value) == ["age", "name", "skills"]
    assert 1 <= len(value["name"]) <= 12
    assert isinstance(value["age"], int)
    assert 18 <= value["age"] <= 99
    assert 1 <= len(value["skills"]) <= 3
    assert set(value["skills"]) <= {"nets", "lamps", "clocks"}


def test_copying_takes_far_fewer_steps_than_tokens(small):
    before = small.times.num_steps
    events = list(
        submit(
            small,
            f"Repeat the following paragraph verbatim and say nothing else:\n\n{STORY}",
            max_tokens=90,
        )
    )
    num_tokens = sum(event.num_tokens for event in events)
    assert STORY[-60:] in "".join(event.text for event in events)
    assert num_tokens > 40
    assert small.times.num_steps - before < 0.6 * num_tokens


# --- crowds ---


def test_sixteen_at_once_all_end_in_a_small_context(tmp_path):
    with opened(tmp_path, n_ctx=1024) as engine:
        generations = [submit(engine, f"Number {i}. {STORY} What did he carry?") for i in range(16)]
        assert sum(each.num_prompt_tokens for each in generations) > 1024
        answers = [read(generation) for generation in generations]
    assert all(text.strip() for text, _ in answers)
    assert {reason for _, reason in answers} <= {FinishReason.STOP, FinishReason.LENGTH}
