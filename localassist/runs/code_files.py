"""CodeFiles: which files a run's code sees, and what becomes of those that it writes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.runs.file_record import record_file
from localassist.store import files, run_steps, threads
from localassist.types.message import FilePath, FilePathAnnotation
from localassist.types.tool import CodeImage, CodeImageFile, CodeToolCall, code_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localassist.interpreter.interpreter import Result
    from localassist.runs.services import Services
    from localassist.types.file import StoredFile
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep

log = logging.getLogger("localassist.runs")

OUTPUT_PURPOSE = "assistants_output"
FILES_KEY = "files"  # in a step's metadata: what its code wrote
LINK = "sandbox:/mnt/data/"
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg"}


@dataclass
class Produced:
    """What code has made in a run.

    Attributes:
        images: ids of figures, in order.
        files: ids of files by their path below /mnt/data.
    """

    images: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def add_step(self, step: RunStep) -> None:
        """What a recorded step has made; so a run goes on in another process."""
        for call in getattr(step.step_details, "tool_calls", ()):
            if isinstance(call, CodeToolCall):
                outputs = call.code_interpreter.outputs
                images = [each.image.file_id for each in outputs if isinstance(each, CodeImage)]
                self.images += images
        self.files.update(json.loads(step.metadata.get(FILES_KEY, "{}")))

    def annotations(self, text: str) -> list[FilePathAnnotation]:
        """A `file_path` for each link to a file in the text, by code points."""
        found = []
        for path, file_id in self.files.items():
            link, start = f"{LINK}{path}", 0
            while (at := text.find(link, start)) >= 0:
                start = at + len(link)
                found.append(
                    FilePathAnnotation(
                        end_index=start,
                        file_path=FilePath(file_id=file_id),
                        start_index=at,
                        text=link,
                    )
                )
        return found


class CodeFiles:
    """Files of one run's code. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run

    def attached(self) -> dict[str, Callable[[], Iterable[bytes]]]:
        """What the assistant and the thread have attached, by the name in /mnt/data.

        The second file of a name has its id before it. What code of the thread has written comes
        after them, the newest of a name: so a new kernel, in any process, has it as well.
        """
        connection = self._services.store.read()
        thread = threads.TABLE.get(connection, self._run.thread_id)
        wanted = [*self._run.file_ids, *code_files(thread.tool_resources if thread else None)]
        named: dict[str, StoredFile] = {}
        for file_id in dict.fromkeys(wanted):
            stored = files.TABLE.get(connection, file_id)
            if stored is None:
                continue  # it was deleted meanwhile
            name = stored.filename
            named[name if name not in named else f"{file_id}-{name}"] = stored
        for step in run_steps.wrote_files(connection, self._run.thread_id):
            for path, file_id in json.loads(step.metadata[FILES_KEY]).items():
                stored = files.TABLE.get(connection, file_id)
                if stored is not None and "/" not in path:
                    named[path] = stored
        return {name: self._opener(stored.sha256) for name, stored in named.items()}

    def _opener(self, sha256: str) -> Callable[[], Iterable[bytes]]:
        return lambda: self._services.blobs.read(sha256)

    def keep(self, result: Result) -> tuple[list[CodeImage], dict[str, str]]:
        """Store figures and written files.

        Returns:
            The figures, and the files' ids by their path below /mnt/data.
        """
        images = [
            CodeImage(
                image=CodeImageFile(
                    file_id=self._store(
                        f"figure-{number}.{_SUFFIXES[image.media_type]}", image.data
                    )
                )
            )
            for number, image in enumerate(result.execution.images, 1)
        ]
        return images, {each.path: self._store(each.name, each.data) for each in result.files}

    def _store(self, name: str, data: bytes) -> str:
        return record_file(self._services, name, [data], purpose=OUTPUT_PURPOSE).id
