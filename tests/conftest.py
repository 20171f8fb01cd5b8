"""Fixtures: a client over a scripted engine, and the weights of the small real models."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from localassist import Client, ScriptedBackend, Settings

settings.register_profile(
    "ci",
    max_examples=100,
    # What CI refuses must be refused here as well.
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("ci")

SMOL = "smollm2-135m-instruct"
SMALL = "qwen2.5-coder-0.5b-instruct"
DEFAULT = "qwen2.5-coder-1.5b-instruct"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Everything works without a network: an address beyond this machine is an error."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"the test reaches out to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def gate():
    """Released once for every batch that the scripted engine may compute."""
    return threading.Semaphore(0)


@pytest.fixture
def client(home):
    """A client whose model repeats what the user said."""
    with Client(home, backend=ScriptedBackend()) as client:
        yield client


@pytest.fixture
def gated_client(home, gate):
    """A client whose model computes a batch each time the gate is released."""
    with Client(home, backend=ScriptedBackend(gate=gate)) as client:
        yield client
        gate.release(1_000_000)


@pytest.fixture
def assistant(client):
    return client.beta.assistants.create(model="gpt-4", instructions="Be brief.")


@pytest.fixture
def thread(client):
    return client.beta.threads.create()


@pytest.fixture(scope="session")
def weights():
    """Path of a listed model's weights; a missing one fails the test, since make fetches it."""

    def path(name) -> Path:
        from localassist.engine.model_files import ModelFiles

        return ModelFiles(Settings.from_env().models, default=None).resolve(name).path

    return path


@pytest.fixture
def smol_client(home, weights):
    """A client on the smallest real model."""
    # The smallest model can talk without end: a small context ends it.
    settings = Settings(home=home, model=str(weights(SMOL)), n_ctx=1024)
    with Client(settings=settings) as client:
        yield client


@pytest.fixture
def small_client(home):
    settings = Settings(home=home, models=Settings.from_env().models, model=SMALL, n_ctx=4096)
    with Client(settings=settings) as client:
        yield client
