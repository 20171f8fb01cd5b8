"""The processes of the older SDKs, one each for the whole session."""

from __future__ import annotations

from functools import cache

import pytest
from faces.worker import Worker


@pytest.fixture(scope="session")
def workers():
    """The process of a face, started at its first scenario."""
    started = []

    @cache
    def worker(name):
        started.append(Worker(name))
        return started[-1]

    yield worker
    for each in started:
        each.close()
