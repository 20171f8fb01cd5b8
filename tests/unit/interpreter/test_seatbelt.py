"""The tier of macOS, all but what confines it: its profile as text, its kernels unconfined."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localassist import Settings
from localassist.errors import SandboxError
from localassist.interpreter.interpreter import Interpreter
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.probe import probe
from localassist.interpreter.sandbox import macos
from localassist.interpreter.sandbox.policy import python_policy
from localassist.interpreter.seatbelt import SeatbeltServer
from localassist.interpreter.session import KernelSession

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="kernels are POSIX's"),
    pytest.mark.timeout(120),
]
ODD = '/opt/my "own") (allow default) ;python'


@pytest.fixture
def server():
    return SeatbeltServer(confined=lambda _readable, _folder, python: list(python))


@pytest.fixture
def session(server):
    opened = KernelSession(SandboxedKernel(server, python_policy(), tier="seatbelt"))
    yield opened
    opened.close()


def profile_and_params(command):
    assert command[:2] == ["/usr/bin/sandbox-exec", "-p"]
    end = command.index("python")
    flags, values = command[3:end:2], command[4:end:2]
    assert set(flags) == {"-D"}
    return command[2], dict(value.split("=", 1) for value in values)


def state(pid):
    """What `ps` says of a process: T is stopped, Z has ended, nothing is gone."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()[:1]


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


# --- the profile ---


def test_the_profile_is_balanced_and_every_path_is_a_parameters_value():
    profile, params = profile_and_params(
        macos.command([ODD, "/usr/lib/python3"], "/private/tmp/k", ["python", "-c", "1"])
    )
    assert ODD not in profile
    assert ODD in params.values()
    depth = 0
    for character in re.sub(r'"[^"]*"', "", profile):
        depth += (character == "(") - (character == ")")
        assert depth >= 0
    assert depth == 0
    assert set(re.findall(r'\(param "(\w+)"\)', profile)) == set(params)


def test_the_profile_denies_by_default_and_takes_back_what_the_system_profile_allows():
    profile, params = profile_and_params(macos.command(["/py"], "/private/tmp/k", ["python"]))
    rules = re.findall(r"\((allow|deny) ([\w*-]+)", profile)
    assert rules[0] == ("deny", "default")
    after_import = profile.partition('(import "system.sb")')[2]
    for taken in (
        "network*", "mach-lookup", "mach-register", "iokit-open", "ipc-posix-shm*", "process-fork",
        "process-exec", "process-info*", "signal", "file-link",
    ):  # fmt: skip
        assert f"(deny {taken})" in after_import
    # Nothing that was taken back is given again but for itself, its own folders or Python.
    given = after_import.split("(deny iokit-open)")[1]
    for never in ("mach-", "iokit", "ipc-posix", "process-fork", "file-link"):
        assert f"(allow {never}" not in given
    # The only sockets are those of the kernel's own folder, the only writing in its two folders.
    allowed = [line for line in profile.splitlines() if line.startswith("(allow")]
    for line in allowed:
        if "network-" in line:
            assert 'unix-socket (subpath (param "RUN"))' in line
        if "file-write" in line:
            assert "/dev/null" in line or re.findall(r'param "(\w+)"', line) == ["DATA", "RUN"]
    assert params["DATA"] == "/private/tmp/k/data"
    assert params["RUN"] == "/private/tmp/k/run"


def test_every_folder_on_the_way_to_a_path_can_be_looked_at():
    _, params = profile_and_params(macos.command(["/a/b/c"], "/private/tmp/k", ["python"]))
    above = {value for key, value in params.items() if key.startswith("ABOVE")}
    assert {"/", "/a", "/a/b", "/private", "/private/tmp"} <= above
    assert "/a/b/c" not in above


def test_where_there_is_no_sandbox_exec_the_tier_says_so(server, monkeypatch):
    monkeypatch.setattr(macos, "PROGRAM", "/no/sandbox-exec")
    verdict = probe(server, python_policy(), "seatbelt")
    assert not verdict.usable
    assert "/no/sandbox-exec" in verdict.reason


def test_what_does_not_confine_is_not_used_even_if_it_is_named(server, monkeypatch, tmp_path):
    """The probe's code reads, writes, sends and signals here, as nothing confines it."""
    monkeypatch.setattr(macos, "PROGRAM", sys.executable)
    monkeypatch.setattr("localassist.interpreter.probe.TIERS", ("seatbelt",))
    monkeypatch.setattr("localassist.interpreter.interpreter.open_server", lambda _cache: server)
    interpreter = Interpreter(tmp_path, tier="seatbelt")
    try:
        with pytest.raises(SandboxError) as caught:
            interpreter.execute("a", "1")
    finally:
        interpreter.close()
    for what in ("read the host's files", "write the host's files", "use the network", "signal"):
        assert what in str(caught.value)


def test_a_tier_of_another_system_is_refused(tmp_path):
    interpreter = Interpreter(tmp_path, tier="ns" if sys.platform == "darwin" else "seatbelt")
    try:
        with pytest.raises(SandboxError, match="no tier of"):
            interpreter.execute("a", "1")
    finally:
        interpreter.close()


def test_paths_are_those_that_links_lead_to_and_usr_is_not_among_them(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    _, params = profile_and_params(macos.command([str(link), "/usr"], "/private/tmp/k", ["python"]))
    read = {value for key, value in params.items() if key.startswith("READ")}
    assert str(real) in read
    assert not {str(link), "/usr"} & read


def test_a_profile_that_is_not_taken_is_told_of():
    complaint = ["sh", "-c", "echo 'sandbox-exec: unbound variable: no-such-rule' >&2; exit 65"]
    server = SeatbeltServer(confined=lambda _readable, _folder, _python: complaint)
    with pytest.raises(SandboxError, match="unbound variable: no-such-rule"):
        SandboxedKernel(server, python_policy(), tier="seatbelt")


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = SeatbeltServer(confined=lambda _readable, _folder, _python: ["/no/such/program"])
    with pytest.raises(SandboxError, match="/no/such/program"):
        SandboxedKernel(server, python_policy(), tier="seatbelt")
    assert list(tmp_path.iterdir()) == []


# --- kernels ---


def test_cells_run_and_share_their_variables(session):
    assert session.execute("x = 6 * 7").status == "ok"
    done = session.execute("x")
    assert done.logs.strip() == "42"
    assert done.tier == "seatbelt"


def test_files_go_in_and_come_out(session):
    session.workspace.put("in.txt", [b"from the host"])
    code = "text = open('/mnt/data/in.txt').read(); open('/mnt/data/out.txt', 'w').write(text * 2)"
    assert session.execute(code).status == "ok"
    (file,), notes = session.workspace.collect()
    assert (file.name, file.data, notes) == ("out.txt", b"from the hostfrom the host", [])


def test_nothing_of_the_hosts_environment_goes_in(server, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    session = KernelSession(SandboxedKernel(server, python_policy(), tier="seatbelt"))
    try:
        assert "SECRET" not in session.execute("import os; dict(os.environ)").logs
    finally:
        session.close()


def test_a_cell_over_its_time_is_interrupted(session):
    done = session.execute("while True: pass", timeout_s=0.5)
    assert done.status == "timeout"
    assert session.execute("1 + 1").logs.strip() == "2"


def test_an_end_of_the_kernel_is_seen(session):
    done = session.execute("import os; os._exit(3)")
    assert done.status == "died"
    assert not session.alive


def test_too_much_memory_ends_it(server):
    policy = python_policy(memory_bytes=300 << 20)
    session = KernelSession(SandboxedKernel(server, policy, tier="seatbelt"))
    try:
        done = session.execute("import time\nx = bytearray(b'1') * (400 << 20)\ntime.sleep(20)")
    finally:
        session.close()
    assert done.status == "died"
    assert "more than 300 MB" in done.notes[0]


def test_closing_it_leaves_no_process_and_no_folder(server):
    kernel = SandboxedKernel(server, python_policy(), tier="seatbelt")
    sandbox = kernel.sandbox
    folder = Path(sandbox.run_path).parent
    assert folder.is_dir()
    kernel.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(sandbox.pid, 0)
    kernel.close()  # again, to no effect


def test_it_ends_with_the_host():
    host = """
import sys
from localassist.interpreter.seatbelt import SeatbeltServer
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.sandbox.policy import python_policy
server = SeatbeltServer(confined=lambda _r, _f, python: list(python))
from localassist.interpreter.session import KernelSession
kernel = SandboxedKernel(server, python_policy(), tier="seatbelt")
KernelSession(kernel).execute("1")
print(kernel.sandbox.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        os.kill(pid, 0)
        process.send_signal(signal.SIGKILL)
    until(lambda: state(pid) in ("", "Z"))  # nobody may have reaped it


def test_an_interpreter_works_on_it(tmp_path, monkeypatch, server):
    monkeypatch.setattr("localassist.interpreter.interpreter.open_server", lambda _cache: server)
    monkeypatch.setattr(
        "localassist.interpreter.interpreter.chosen_tier", lambda _s, _p, named: named
    )
    interpreter = Interpreter(tmp_path, tier="seatbelt")
    try:
        result = interpreter.execute(
            "a", "print(open('/mnt/data/a').read())", files={"a": lambda: [b"seen"]}
        )
        assert result.execution.logs.strip() == "seen"
        assert result.execution.tier == "seatbelt"
    finally:
        interpreter.close()


def test_macos_has_an_interpreter_and_windows_has_none(tmp_path, monkeypatch):
    from localassist.api import runtime

    made = {}
    for system in ("darwin", "win32"):
        monkeypatch.setattr("localassist.api.runtime.sys.platform", system)
        made[system] = runtime._interpreter(Settings(home=tmp_path))
    assert made["win32"] is None
    made["darwin"].close()
