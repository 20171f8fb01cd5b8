"""What several files of this folder start from."""

from __future__ import annotations

import threading

import pytest
from serving import served
from wire import Wire

from localassist import ScriptedBackend


@pytest.fixture
def gate():
    return threading.Semaphore(0)


@pytest.fixture
def gated(home, gate):
    """A server whose model computes as often as the gate is released."""
    wire = Wire(home, backend=ScriptedBackend(gate=gate, n_ctx=100_000))
    with served(wire.runtime) as port:
        yield wire, port
        gate.release(1_000_000)
    wire.close()
