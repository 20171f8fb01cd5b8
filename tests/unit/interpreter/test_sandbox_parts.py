"""The parts of the sandbox that can be looked at from outside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localassist.interpreter.sandbox import seccomp
from localassist.interpreter.sandbox.policy import SandboxPolicy, python_policy
from localassist.interpreter.sandbox.syscalls import ALLOWED, DENIED, MACHINES, number

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_filter_fits_the_kernels_bound(machine, namespaces):
    program = seccomp.build_filter(namespaces=namespaces, machine=machine, own_pid=7)
    assert len(program) % 8 == 0
    assert 100 < len(program) // 8 < 4096


def test_no_call_is_both_allowed_and_denied():
    assert not ALLOWED.keys() & DENIED.keys()
    for name in ("unshare", "mount", "setns", "ptrace", "bpf", "keyctl", "init_module"):
        assert name in DENIED
    assert number("openat", "x86_64") == 257
    assert number("openat", "aarch64") == 56
    assert number("fork", "aarch64") is None


def test_a_policy_survives_its_journey():
    policy = python_policy(data_bytes=1 << 20)
    assert SandboxPolicy.from_json(policy.to_json()) == policy
    assert policy.data_bytes == 1 << 20


def test_nothing_of_the_users_is_readable():
    readable = [Path(path) for path in python_policy().readable]
    own = [Path.cwd(), Path.home(), Path("/etc"), Path("/home"), Path("/root"), Path("/")]
    assert not set(readable) & set(own)
    # The script's folder comes first in sys.path and is never among them.
    assert Path(sys.path[0]) not in readable
    assert any("site-packages" in path.name for path in readable)


def test_the_environment_is_made_and_not_inherited(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "sk-secret" not in str(python_policy().environment)
