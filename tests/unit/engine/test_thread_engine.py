from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest

from localassist import BadRequestError, Client, ClosedError, ContextOverflowError, ModelError
from localassist.engine.chat_template import ChatMessage
from localassist.engine.constraint import Grammar
from localassist.engine.kv_store import KvStore
from localassist.engine.loop import LoopSettings
from localassist.engine.request import FinishReason, GenerationRequest, SamplingParams
from localassist.engine.scripted import ScriptedBackend
from localassist.engine.thread_engine import ThreadEngine


@pytest.fixture
def start():
    engines = []

    def make(backend):
        engines.append(ThreadEngine(backend, name="scripted"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ask(engine, text, **options):
    tokens = engine.encode_chat([ChatMessage("user", text)])
    return engine.submit(GenerationRequest(prompt_tokens=tokens, **options))


def read(generation):
    events = list(generation)
    return "".join(event.text for event in events), events[-1].finish_reason


class Pieces(ScriptedBackend):
    """Knows a few tokens of several bytes as well."""

    def token_bytes(self, token):
        pieces = {1000: b"}}", 1001: b"ab", 1002: b"b}", 1003: b"\xc3", 1004: b""}
        return pieces[token] if token in pieces else super().token_bytes(token)


@pytest.mark.parametrize(
    ("said", "text", "keep", "tokens"),
    [
        ([1001, 1000], "ab}}, {", 2, [1001, *b"}}, {"]),  # what may not be kept
        ([1001, 1000], "ab}}, {", 4, [1001, 1000, *b", {"]),
        ([97, 1002], "ab}}", 2, [97, *b"b}}"]),  # a token that reaches beyond it
        ([1001, 99], "abd", 3, [1001, 100]),  # another text
        ([1001], "ab", 2, [1001]),
        ([1001, 1003, 0xA9], "ab\u00e9.", 4, [1001, 1003, 0xA9, 46]),
        ([1001, 1003, 99], "ab\u00e9.", 4, [1001, *"\u00e9.".encode()]),  # half a character
        ([1004, 1001], "ab", 2, [*b"ab"]),  # a control token says nothing
        ([], "ab", 2, [*b"ab"]),
    ],
)
def test_tokens_in_which_a_text_was_said_are_kept(start, said, text, keep, tokens):
    assert start(Pieces()).encode_on(said, text, keep=keep) == tokens


class Spaced(Pieces):
    """Puts a space before any text, as SentencePiece does."""

    def tokenize(self, text, *, parse_special):
        return super().tokenize(f" {text}", parse_special=parse_special)


def test_where_every_text_gets_a_space_none_comes_into_the_middle(start):
    engine = start(Spaced())
    assert engine.encode_on([32, 1001], "abc", keep=2) == engine.encode_frame("abc")
    assert engine.encode_on([1001], "abc", keep=2) == engine.encode_frame("abc")


NAMED = Grammar(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"first name": {"enum": ["Ada", "Bob"]}, "age": {"type": "boolean"}},
            "required": ["first name", "age"],
            "additionalProperties": False,
        }
    ),
)


@pytest.mark.parametrize("reply", ["", "Sure!", '{"first name": "Ada", "age": true}', '{"age', "x"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_every_text_gets_a_space_a_grammar_is_followed(start, reply, temperature):
    engine = start(Spaced(lambda _: reply))
    sampling = SamplingParams(temperature=temperature, seed=1)
    text, reason = read(ask(engine, "?", sampling=sampling, constraint=engine.constrain(NAMED)))
    assert reason is FinishReason.STOP
    assert sorted(json.loads(text)) == ["age", "first name"]
    if reply.endswith("}"):
        assert text == reply


class Failing:
    """A constraint that admits everything and fails at its second token."""

    ends_repetition = complete = False

    def __init__(self):
        self.num_accepted = 0

    def allows(self, token):
        return True

    def accept(self, token):
        self.num_accepted += 1
        if self.num_accepted == 2:
            raise ModelError("It cannot go on.", code="constraint_failed")


def test_a_constraint_that_fails_ends_its_own_generation_only(start):
    gate = threading.Semaphore(0)
    engine = start(ScriptedBackend(lambda text: text * 100, gate=gate))
    beside = ask(engine, "a")
    failing = ask(engine, "b", constraint=Failing())
    other = ask(engine, "c")
    gate.release(1_000_000)
    with pytest.raises(ModelError, match="It cannot go on") as caught:
        read(failing)
    assert caught.value.code == "constraint_failed"
    assert [read(each) for each in (beside, other)] == [
        ("a" * 100, FinishReason.STOP),
        ("c" * 100, FinishReason.STOP),
    ]
    assert read(ask(engine, "d"))[0] == "d" * 100
    wait_until(lambda: (engine.stats.running, engine.stats.waiting) == (0, 0))


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_generations_of_many_callers_do_not_mix(start):
    engine = start(ScriptedBackend(n_ctx=4096))
    generations = [ask(engine, f"number {i}") for i in range(20)]
    assert [read(g) for g in generations] == [
        (f"You said: number {i}", FinishReason.STOP) for i in range(20)
    ]


def test_max_tokens_cuts_the_answer(start):
    engine = start(ScriptedBackend())
    assert read(ask(engine, "hello", max_tokens=3)) == ("You", FinishReason.LENGTH)


def test_a_stop_text_is_not_part_of_the_answer(start):
    engine = start(ScriptedBackend())
    assert read(ask(engine, "hello", stop=("said",))) == ("You ", FinishReason.STOP)


def test_an_answer_that_meets_the_end_of_the_context_is_cut(start):
    engine = start(ScriptedBackend(lambda _: "x" * 1000, n_ctx=300))
    text, reason = read(ask(engine, "hello"))
    assert reason is FinishReason.LENGTH
    assert 250 < len(text) < 300


@pytest.mark.parametrize("batches", [0, 1, 30])
def test_a_generation_can_be_cancelled_at_any_moment(start, batches):
    gate = threading.Semaphore(batches)
    engine = start(ScriptedBackend(lambda _: "x" * 1000, gate=gate))
    generation = ask(engine, "p" * 1000)
    generation.cancel()
    gate.release(1000)
    assert read(generation)[1] is FinishReason.CANCELLED


def test_a_prompt_that_no_context_can_hold_is_refused(start):
    engine = start(ScriptedBackend(n_ctx=300))
    with pytest.raises(ContextOverflowError, match="300") as caught:
        ask(engine, "x" * 300)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(BadRequestError):
        engine.submit(GenerationRequest(prompt_tokens=[]))


def test_a_failure_of_the_worker_ends_what_it_computed_and_nothing_else(start):
    def reply(text):
        if text == "break":
            raise RuntimeError("scripted failure")
        return "fine"

    engine = start(ScriptedBackend(reply))
    with pytest.raises(ModelError, match="scripted failure"):
        read(ask(engine, "break"))
    assert read(ask(engine, "next"))[0] == "fine"


def test_closing_ends_open_generations_with_an_error(start):
    gate = threading.Semaphore(0)
    engine = start(ScriptedBackend(gate=gate))
    generation = ask(engine, "hello")
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.release(1000)
    closing.join()
    with pytest.raises(ClosedError):
        ask(engine, "too late")
    with pytest.raises(ClosedError):
        list(generation)


class Misjudged(ScriptedBackend):
    """Its calibration is always disturbed; its steps are not."""

    def time_rows(self, num_rows):
        return 10.0 + num_rows


def test_what_a_step_takes_is_believed_rather_than_a_disturbed_calibration(tmp_path):
    backend = Misjudged(lambda text: hashlib.sha256(text.encode()).hexdigest())
    engine = ThreadEngine(backend, name="scripted", settings=LoopSettings(calibration=tmp_path))

    def kept():
        files = [*tmp_path.glob("*.json")]
        return json.loads(files[0].read_text())["seconds"]["1"] if files else {"1": 0.0}

    try:
        wait_until(lambda: kept()["1"] == 11.0)
        list(engine.submit(GenerationRequest(engine.encode_chat([ChatMessage("user", "a")]))))
        wait_until(lambda: kept()["1"] < 1.0)
        assert kept()["2"] / kept()["1"] == pytest.approx(12 / 11)
    finally:
        engine.close()


class Counted(ScriptedBackend):
    """Notes how many steps were computed, and how many were measured."""

    num_steps = num_timed = 0

    def decode(self, chunks, *, num_rows=0):
        self.num_steps += 1
        return super().decode(chunks, num_rows=num_rows)

    def time_rows(self, num_rows):
        self.num_timed += 1
        return float(num_rows)


def memory_store():
    return KvStore(None, fingerprint="scripted", ram_bytes=1 << 20, disk_bytes=0)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("pause_s", "busy_s", "waits"), [(60, 60, True), (60, 0, False), (0.001, 60, False)]
)
def test_what_can_wait_begins_in_a_pause_or_when_there_was_none_for_long(
    deterministic, pause_s, busy_s, waits
):
    backend, store = Counted(lambda _: "x", n_ctx=2048), memory_store()
    settings = LoopSettings(pause_s=pause_s, busy_s=busy_s, deterministic=deterministic)
    engine = ThreadEngine(backend, name="scripted", kv=store, settings=settings)
    prompt = engine.encode_chat([ChatMessage("user", "hello" * 100)])
    try:
        for turn in range(3):  # of one conversation
            list(engine.submit(GenerationRequest([*prompt, *b"x" * turn])))
        if waits:
            assert (backend.num_timed, store.match(prompt)) == (0, 0)
        else:
            wait_until(lambda: store.match(prompt) > 256)
            wait_until(lambda: backend.num_timed > 0 or deterministic)
    finally:
        engine.close()
    assert store.match(prompt) > 256  # at the end all is saved
    assert backend.num_timed == 0 or not deterministic


def test_idle_conversations_are_saved_beside_running_ones():
    backend, store = Counted(lambda _: "x" * 200, n_ctx=2048), memory_store()
    settings = LoopSettings(pause_s=60, busy_s=60)
    engine = ThreadEngine(backend, name="scripted", kv=store, settings=settings)
    first, second = (engine.encode_chat([ChatMessage("user", name)]) for name in ("a", "b"))
    try:
        list(engine.submit(GenerationRequest(first)))
        list(engine.submit(GenerationRequest(second)))
        assert store.match([*first, *b"x" * 200]) > 100
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("branches_at", "deterministic", "free"),
    [(b"}", False, True), (b",", False, False), (b"}", True, False)],
)
def test_one_token_where_a_branch_was_kept_costs_no_step(branches_at, deterministic, free):
    said = '{"a": [1]}'
    backend = Counted(lambda _: said)
    engine = ThreadEngine(
        backend, name="scripted", settings=LoopSettings(deterministic=deterministic, pause_s=60)
    )

    def look(engine):
        tokens = [*prompt, *engine.encode_text(said[:-1])]
        looked = GenerationRequest(tokens, max_tokens=1, watched=tuple(b"},"))
        generation = engine.submit(looked)
        return read(generation), generation.first_logprobs, generation.num_cached_tokens

    try:
        prompt = engine.encode_chat([ChatMessage("user", "?")])
        assert read(engine.submit(GenerationRequest(prompt, branches_at=branches_at)))[0] == said
        before = backend.num_steps
        found, logprobs, cached = look(engine)
        assert (backend.num_steps == before) is free
        assert found == ("}", FinishReason.LENGTH)
        if free:
            assert cached == len(prompt) + len(said) - 1
            tokens = [*prompt, *engine.encode_text(said[:-1])]
            no_brace = GenerationRequest(tokens, max_tokens=1, banned_first=tuple(b"}"))
            assert read(engine.submit(no_brace))[0] != "}"
            assert backend.num_steps == before
            two = GenerationRequest(tokens, max_tokens=2)
            assert read(engine.submit(two)) == ("}", FinishReason.STOP)
            assert backend.num_steps > before
    finally:
        engine.close()
    other = ThreadEngine(ScriptedBackend(lambda _: said), name="scripted")
    try:
        assert look(other)[:2] == (found, logprobs)
    finally:
        other.close()


class Held(ScriptedBackend):
    """Its steps are measured once somebody lets them."""

    def __init__(self):
        super().__init__()
        self.measures, self.go_on = threading.Event(), threading.Event()

    def time_rows(self, num_rows):
        self.measures.set()
        assert self.go_on.wait(30)
        return float(num_rows)


def test_the_stats_say_whether_costs_are_measured(tmp_path):
    backend, settings = Held(), LoopSettings(calibration=tmp_path, pause_s=0.001)
    engine = ThreadEngine(backend, name="scripted", settings=settings)
    try:
        assert not engine.stats.measured
        backend.go_on.set()
        wait_until(lambda: engine.stats.measured)
    finally:
        backend.go_on.set()
        engine.close()
    again = ThreadEngine(Held(), name="scripted", settings=settings)
    try:
        assert again.stats.measured  # by the one before
    finally:
        again.close()


def test_where_nothing_is_to_be_measured_the_stats_say_so():
    settings = LoopSettings(deterministic=True)
    engine = ThreadEngine(Held(), name="scripted", settings=settings)
    try:
        assert engine.stats.measured
    finally:
        engine.close()


def test_a_client_tells_whether_costs_are_measured(tmp_path):
    backend = Held()
    with Client(tmp_path, backend=backend) as client:
        assert client.status() == {}
        messages = [{"role": "user", "content": "a"}]
        asking = threading.Thread(
            target=client.chat.completions.create, kwargs={"model": "m", "messages": messages}
        )
        asking.start()
        assert backend.measures.wait(30)
        (stats,) = client.status().values()
        assert not stats.measured
        backend.go_on.set()
        asking.join()
        wait_until(lambda: all(each.measured for each in client.status().values()))


class TwoThreads(ScriptedBackend):
    """Says when the first step is measured with one thread, and notes those of other steps."""

    max_threads = 2

    def __init__(self):
        super().__init__()
        self.measures, self.go_on = threading.Event(), threading.Event()
        self.used = set()

    def use_threads(self, num_threads):
        self._num_threads = num_threads

    def time_rows(self, num_rows):
        if self._num_threads == 1 and not self.measures.is_set():
            self.measures.set()
            assert self.go_on.wait(30)
        return float(num_rows)

    def decode(self, chunks, *, num_rows=0):
        self.used.add(self._num_threads)
        return super().decode(chunks, num_rows=num_rows)


def test_who_asks_while_fewer_threads_are_measured_gets_all_of_them():
    backend = TwoThreads()
    engine = ThreadEngine(backend, name="scripted")
    try:
        assert backend.measures.wait(30)
        prompt = engine.encode_chat([ChatMessage("user", "a")])
        # So few steps that the governor has nothing to judge by.
        asked = engine.submit(GenerationRequest(prompt, max_tokens=3))
        backend.go_on.set()
        assert [*asked]
    finally:
        engine.close()
    assert backend.used == {2}
