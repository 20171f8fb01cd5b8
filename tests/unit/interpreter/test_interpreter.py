"""Kernels of conversations: warm, bounded in number, ended when idle, and replaced with a word."""

from __future__ import annotations

import sys
import time

import pytest

from localassist.errors import ClosedError, SandboxError
from localassist.interpreter.interpreter import Interpreter

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def interpreter(tmp_path, clock):
    made = Interpreter(tmp_path / "cache", max_kernels=2, idle_s=100, now=lambda: clock[0])
    yield made
    made.close()


def ran(interpreter, code, conversation="a", **options):
    result = interpreter.execute(conversation, code, **options)
    return result.execution.logs.strip(), result.execution


def test_an_idle_kernel_ends_and_the_next_cell_says_so(interpreter, clock):
    ran(interpreter, "x = 1")
    clock[0] += 50
    assert ran(interpreter, "x")[0] == "1"
    clock[0] += 101
    ran(interpreter, "1", "b")
    logs, execution = ran(interpreter, "'x' in globals()")
    assert logs == "False"
    assert "it was not used for long; variables and imports are lost" in execution.notes[0]


def test_the_kernel_that_was_not_used_for_longest_gives_way(interpreter, clock):
    for number, name in enumerate("abc"):
        clock[0] = number
        ran(interpreter, "x = 1", name)
    assert ran(interpreter, "'x' in globals()", "c")[0] == "True"
    assert ran(interpreter, "'x' in globals()", "b")[0] == "True"
    logs, execution = ran(interpreter, "'x' in globals()", "a")
    assert logs == "False"
    assert "too many were in use" in execution.notes[0]


def test_a_cell_that_will_not_stop_is_stopped(interpreter):
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    started = time.monotonic()
    _, execution = ran(interpreter, stubborn, timeout_s=0.5)
    assert execution.status == "timeout"
    assert time.monotonic() - started < 10
    assert any("lost" in note for note in execution.notes)
    assert ran(interpreter, "1 + 1")[0] == "2"


def test_a_cell_that_stops_when_it_is_interrupted_keeps_its_variables(interpreter):
    _, execution = ran(interpreter, "x = 5\nimport time\ntime.sleep(100)", timeout_s=0.5)
    assert (execution.status, execution.notes) == ("timeout", ())
    assert ran(interpreter, "x")[0] == "5"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("def", "error", "SyntaxError"),
        ("1 / 0", "error", "ZeroDivisionError"),
        ("input()", "error", "input"),
        ("exit()", "ok", ""),
        ("import os; os.kill(os.getpid(), 9)", "died", ""),
        ("import os; os.write(1, b'\\xff\\x00\\x1b[31m')", "ok", "7"),
        ("print('\\ud800')", "ok", ""),
        ("%pip install x", "ok", ""),
        ("x = '" + "a" * 10_000_000 + "'; len(x)", "error", "10,000,0"),
    ],
)
def test_whatever_is_run_the_next_cell_works(interpreter, code, status, said):
    logs, execution = ran(interpreter, code, timeout_s=30)
    assert execution.status == status
    assert said in logs
    assert ran(interpreter, "40 + 2")[0] == "42"


def test_output_without_end_is_bounded(interpreter):
    logs, execution = ran(interpreter, "for _ in range(3000): print('x' * 10000)", timeout_s=20)
    assert len(logs) < 101_000
    assert "characters left out" in logs
    assert execution.status in ("ok", "timeout")


def test_a_figure_of_any_size_is_a_figure_or_an_error(interpreter):
    plot = "import matplotlib.pyplot as plt; plt.figure(figsize=({}, 3)); plt.plot([1]); plt.show()"
    _, execution = ran(interpreter, plot.format(4), timeout_s=30)
    assert execution.images[0].data.startswith(b"\x89PNG")
    _, execution = ran(interpreter, plot.format(2000), timeout_s=30)
    assert execution.status in ("ok", "error", "died", "timeout")
    assert ran(interpreter, "1 + 1")[0] == "2"


def test_files_are_opened_once_and_again_for_a_new_kernel(interpreter):
    opened = []

    def source():
        opened.append(1)
        return [b"a,b"]

    for _ in range(2):
        assert ran(interpreter, "print(open('f.csv').read())", files={"f.csv": source})[0] == "a,b"
    assert len(opened) == 1
    ran(interpreter, "import os; os.kill(os.getpid(), 9)")
    assert ran(interpreter, "print(open('f.csv').read())", files={"f.csv": source})[0] == "a,b"
    assert len(opened) == 2


def test_a_file_that_cannot_be_opened_is_told_and_no_more(interpreter):
    def gone():
        raise FileNotFoundError(2, "gone")

    logs, execution = ran(interpreter, "5", files={"f.csv": gone})
    assert logs == "5"
    assert "'f.csv' could not be put" in execution.notes[0]


def test_a_closed_interpreter_says_so_and_leaves_no_process(tmp_path):
    made = Interpreter(tmp_path)
    made.execute("a", "1")
    pid = made._server.pid
    made.close()
    made.close()
    with pytest.raises(ClosedError):
        made.execute("a", "1")
    with pytest.raises(FileNotFoundError):
        (__import__("pathlib").Path(f"/proc/{pid}") / "cmdline").read_bytes()


def test_where_no_tier_holds_no_code_is_run(tmp_path, monkeypatch):
    from localassist.interpreter import probe

    monkeypatch.setattr(probe, "_missing", lambda tier: f"no {tier} here")
    made = Interpreter(tmp_path)
    with pytest.raises(SandboxError, match="is not run") as caught:
        made.execute("a", "1")
    assert caught.value.code == "sandbox_unavailable"
    assert "no landlock here" in str(caught.value)
    made.close()


def test_kernels_end_without_another_cell_and_when_they_are_forgotten(interpreter, clock):
    for name in "ab":
        ran(interpreter, "1", name)
    sessions = [each.session for each in interpreter._conversations.values()]
    assert all(session.alive for session in sessions)
    interpreter.forget("a")
    assert [session.alive for session in sessions] == [False, True]
    clock[0] += 101
    interpreter.reap()
    deadline = time.monotonic() + 20
    while sessions[1].alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_spare_that_has_died_is_replaced(interpreter):
    """The next conversation starts from a kernel that lives, and soon there is a spare again."""

    def spare_after(previous):
        deadline = time.monotonic() + 20
        while (spare := interpreter._spare) in (None, previous) or not spare.alive:
            assert time.monotonic() < deadline, "there is no spare"
            time.sleep(0.02)
        return spare

    ran(interpreter, "1")
    first = spare_after(None)
    first.kernel.sandbox.kill()
    assert ran(interpreter, "2", "b")[0] == "2"
    assert spare_after(first).alive
