"""FileSearch: what a run finds in its files before the model answers, and shows it.

Small models do not decide well whether to search, so every question is searched for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.errors import ModelFileError
from localassist.retrieval import ranking
from localassist.retrieval.cite import Citer, Source
from localassist.runs.citing import Citing
from localassist.runs.model_calls import Interrupted
from localassist.runs.search_record import SearchRecord
from localassist.store import messages, threads
from localassist.types.tool import FileSearchResult, FileSearchToolCall, FoundText, searched_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.retrieval.passages import Passage
    from localassist.retrieval.retrieval import Retrieval
    from localassist.runs.services import Services
    from localassist.types.run import Run
    from localassist.types.run_step import RunStep

MAX_RESULTS = 20
# On a CPU, what the model has to read before it answers is what the user waits for.
MAX_TOKENS = 1400
_SHARE_OF_CONTEXT = 0.4
WAIT_S = 60.0
# Below this, the nearest passage is about something else.
RELEVANT_COSINE = 0.25
# A question near to nothing in particular is about the whole: the beginnings say what that is.
VAGUE_COSINE = 0.40
_HEAD_TOKENS = 400
_FEW_WORDS = 4
_SHOWN = """Passages from the files:

{passages}

Answer with what these passages say, in whole sentences. What they do not say, say that the files \
do not say it.

{question}"""
_NOTHING = """The files were searched, and nothing in them fits the following question. Say so in \
one sentence, and do not make up an answer.

{question}"""
_NOT_READY = """The files are still being read, so nothing was found in them for the following \
question. Say so in one sentence, and do not make up an answer.

{question}"""


class FileSearch:
    """The search of one run. Used by the run's worker only."""

    def __init__(
        self,
        services: Services,
        run: Run,
        retrieval: Retrieval | None,
        *,
        is_over: Callable[[], bool],
    ) -> None:
        self._services = services
        self._run = run
        self._retrieval = retrieval
        self._is_over = is_over
        self._tool: dict[str, Any] = next(
            (tool for tool in run.tools if tool["type"] == "file_search"), {}
        )
        self.sources: list[Source] = []
        self.searched = False
        self._ready = True

    @property
    def enabled(self) -> bool:
        """The run searches."""
        return bool(self._tool) and self._run.tool_choice != "none" and self._retrieval is not None

    @property
    def only_tool(self) -> bool:
        """There is nothing else that the question could be for."""
        return all(tool["type"] == "file_search" for tool in self._run.tools)

    def restore(self, steps: Sequence[RunStep]) -> None:
        """Take what the run has found before, maybe in another process."""
        for step in steps:
            for call in getattr(step.step_details, "tool_calls", ()):
                if isinstance(call, FileSearchToolCall):
                    self.searched = True
                    self.sources = [
                        Source(each.file_id, each.file_name, each.page, each.content[0].text)
                        for each in call.file_search.results or ()
                        if each.content
                    ]

    def search(self, n_ctx: int) -> None:
        """Search for the thread's last question, and record that as a step.

        Raises:
            Interrupted: the run is to stop.
            ModelFileError: the embedding model is missing.
        """
        if not self.enabled or self.searched:
            return
        assert self._retrieval is not None, "it is not enabled without"
        self.searched = True
        stores = self._stores()
        queries = self._queries()
        if not stores or not queries:
            return
        record = SearchRecord(self._services, self._run)
        try:
            ready = self._retrieval.ingester.wait(stores, timeout_s=WAIT_S, cancelled=self._is_over)
            if self._is_over():
                raise Interrupted
            self._ready = ready
            passages = self._passages(stores, queries, n_ctx)
        except ModelFileError:
            record.fail()
            raise
        results = [
            FileSearchResult(
                file_id=each.file.id,
                file_name=each.filename,
                score=each.score,
                content=[FoundText(text=each.text)],
                page=each.page,
            )
            for each in passages
        ]
        if not record.complete(results, self._options.get("ranking_options")):
            raise Interrupted
        self.sources = [
            Source(each.file.id, each.filename, each.page, each.text) for each in passages
        ]

    def citing(self, *, number: int) -> Citing | None:
        """What cites the answer's sentences; None if nothing was found."""
        if not self.sources or self._retrieval is None:
            return None
        question = " ".join(self._queries())
        citer = Citer(self.sources, self._retrieval.embedder().encode, question=question)
        return Citing(self.sources, citer, number=number)

    def shrink(self) -> bool:
        """Show the better half of what was found; False if there is nothing to leave out."""
        if not self.sources:
            return False
        self.sources = self.sources[: len(self.sources) // 2]
        return True

    def shown(self, question: str) -> str:
        """The question with what was found before it."""
        if not self.searched:
            return question
        if not self.sources:
            text = _NOTHING if self._ready else _NOT_READY
            return text.format(question=question) if self.only_tool else question
        passages = "\n\n".join(
            f"[{number}] {source.filename}{_page(source)}\n{source.text}"
            for number, source in enumerate(self.sources, 1)
        )
        return _SHOWN.format(passages=passages, question=question)

    @property
    def _options(self) -> dict[str, Any]:
        return self._tool.get("file_search") or {}

    def _stores(self) -> list[str]:
        thread = threads.TABLE.get(self._services.store.read(), self._run.thread_id)
        of_thread = searched_stores(thread.tool_resources) if thread is not None else []
        return list(dict.fromkeys([*self._run.vector_store_ids, *of_thread]))

    def _queries(self) -> list[str]:
        """The last question; with the one before it, if it says little by itself."""
        history = messages.history(
            self._services.store.read(),
            thread_id=self._run.thread_id,
            run_id=self._run.id,
            limit=12,
        )
        asked = [message.text for message in history if message.role == "user" and message.text]
        if not asked:
            return []
        brief = len(ranking.words(asked[-1])) < _FEW_WORDS
        return asked[-1:] + (asked[-2:-1] if brief else [])

    def _passages(self, stores: list[str], queries: list[str], n_ctx: int) -> list[Passage]:
        assert self._retrieval is not None, "it is not enabled without"
        searcher, reader = self._retrieval.searcher, self._retrieval.reader
        room = min(MAX_TOKENS, int(n_ctx * _SHARE_OF_CONTEXT))
        options = self._options.get("ranking_options") or {}
        ranked = searcher.rank(queries, stores, rerank=options.get("ranker") != "none")
        best = max((each.cosine for each in ranked), default=0.0)
        if not ranked or (best < RELEVANT_COSINE and not self.only_tool):
            return []
        most = self._options.get("max_num_results") or MAX_RESULTS
        threshold = options.get("score_threshold") or 0.0
        if not threshold and reader.num_tokens(stores) <= room:
            return reader.whole(stores, ranked=ranked)[:most]
        head: list[Passage] = []
        if best < VAGUE_COSINE and not threshold:
            head = reader.head(stores, max_tokens=_HEAD_TOKENS, ranked=ranked)[: min(2, most)]
        known = {window.id for passage in head for window in passage.windows}
        found = reader.passages(
            [each for each in ranked if each.window_id not in known],
            stores,
            limit=most - len(head),
            max_tokens=room - sum(each.num_tokens for each in head),
        )
        return [*head, *(each for each in found if each.score >= threshold)]


def _page(source: Source) -> str:
    return f", page {source.page}" if source.page is not None else ""
