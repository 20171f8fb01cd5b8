"""Progress of a file that is being indexed: told to a function, or shown as a bar."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localassist._lazy import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localassist.types.vector_store import VectorStoreFile

    Told = Callable[[VectorStoreFile], None]


@contextmanager
def told(*, progress: Told | bool | None) -> Iterator[Told]:
    """What is to be called with the file again and again.

    Args:
        progress: a function of your own, or True for a bar on standard error.
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _file: None
    else:
        rich = require("rich.progress", package="rich")
        console = require("rich.console", package="rich").Console(file=sys.stderr)
        columns = ("{task.description}", rich.BarColumn(), rich.TaskProgressColumn())
        with rich.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("indexing", total=1.0)
            yield lambda file: bar.update(task, completed=_share(file))


def _share(file: VectorStoreFile) -> float:
    return (file.progress or 0.0) if file.status == "in_progress" else 1.0
