"""Records of searches: that the files are searched, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.runs.tool_step import ToolStep
from localassist.types.tool import FileSearchToolCall

if TYPE_CHECKING:
    from localassist.runs.services import Services
    from localassist.types.run import Run
    from localassist.types.tool import FileSearchResult

_RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.0}


class SearchRecord:
    """One step of a search. Used by the run's worker only."""

    def __init__(self, services: Services, run: Run) -> None:
        """Announce a search that begins."""
        self._call = FileSearchToolCall(id=services.new_id("call"))
        begun = {"id": self._call.id, "type": "file_search", "file_search": {}}
        self._step = ToolStep(services, run, self._call, begun)

    def complete(
        self, results: list[FileSearchResult], ranking_options: dict[str, Any] | None
    ) -> bool:
        """Record what was found; False if the run is not ours any more."""
        self._call.file_search.results = results
        self._call.file_search.ranking_options = ranking_options or _RANKING
        return self._step.complete()

    def fail(self) -> None:
        """Record that it could not be done."""
        self._step.fail("The files could not be searched.")
