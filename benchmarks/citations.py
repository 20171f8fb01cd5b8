"""Whether citations can be believed: answers whose pages are known, and statements without support.

python -m benchmarks.citations --pdfs DIR [DIR ...] [--show]

The questions were written for this purpose (citation_questions.jsonl); the PDFs are the GPT-2 and
Transformer papers and public filings, by the names that the file gives them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Target, report
from localassist import Client, ScriptedBackend, Settings
from localassist.retrieval.cite import Citation, Citer, Source
from localassist.runs.file_search import MAX_RESULTS, MAX_TOKENS

QUESTIONS = Path(__file__).with_name("citation_questions.jsonl")


@dataclass(frozen=True)
class Outcome:
    """What became of one statement."""

    row: dict[str, Any]
    sources: list[Source]
    citation: Citation | None
    verbatim: bool

    @property
    def page(self) -> int | None:
        """The cited page."""
        return None if self.citation is None else self.sources[self.citation.index].page


def outcomes(client: Client, rows: list[dict[str, Any]], paths: dict[str, Path]) -> list[Outcome]:
    """Search for each question as a run does, and cite its answer."""
    retrieval = client._runtime.retrieval
    stores: dict[str, str] = {}
    pages: dict[str, list[str]] = {}
    for name in sorted({row["pdf"] for row in rows}):
        stores[name] = client.vector_stores.create(name=name).id
        file = client.vector_stores.files.upload_and_poll(stores[name], file=paths[name])
        content = client.vector_stores.files.content(file.id, stores[name])
        pages[name] = [part.text for part in content.data]
    found = []
    for row in rows:
        store = [stores[row["pdf"]]]
        ranked = retrieval.searcher.rank([row["question"]], store)
        passages = retrieval.reader.passages(
            ranked, store, limit=MAX_RESULTS, max_tokens=MAX_TOKENS
        )
        sources = [Source(each.file.id, each.filename, each.page, each.text) for each in passages]
        citer = Citer(sources, retrieval.embedder().encode, question=row["question"])
        citation = citer.cite(row["answer"])
        page = None if citation is None else sources[citation.index].page
        verbatim = citation is None or page is None or citation.quote in pages[row["pdf"]][page - 1]
        found.append(Outcome(row, sources, citation, verbatim))
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pdfs", type=Path, nargs="+", required=True)
    parser.add_argument("--show", action="store_true", help="print what went wrong")
    chosen = parser.parse_args()
    paths = {path.name: path for folder in chosen.pdfs for path in folder.rglob("*.pdf")}
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    with (
        tempfile.TemporaryDirectory() as home,
        Client(settings=Settings(home=Path(home)), backend=ScriptedBackend()) as client,
    ):
        every = outcomes(client, rows, paths)
    true = [each for each in every if each.row["pages"]]
    false = [each for each in every if not each.row["pages"]]
    cited = [each for each in true if each.citation is not None]
    right = [each for each in cited if each.page in each.row["pages"]]
    among = [
        each for each in true if {source.page for source in each.sources} & set(each.row["pages"])
    ]
    uncited = [each for each in false if each.citation is None]
    verbatim = [each for each in every if each.verbatim]
    at_least = 0.9
    _share("the page is among the passages", among, true)
    _share("true statements that are cited", cited, true)
    _share("cited pages that are right", right, cited, at_least)
    _share("quotes that stand on their page", verbatim, every, 1.0)
    _share("unsupported statements without citation", uncited, false, at_least)
    if chosen.show:
        for each in cited:
            if each not in right:
                print("WRONG PAGE", each.row["answer"], each.row["pages"], each.page)
        for each in false:
            if each.citation is not None:
                print("FALSE", each.row["answer"], repr(each.citation.quote))


def _share(name: str, part: list[Outcome], whole: list[Outcome], goal: float | None = None) -> None:
    target = None if goal is None else Target(goal, at_least=True)
    report(
        f"{name} ({len(part)} of {len(whole)})", [len(part) / len(whole)], unit="", target=target
    )


if __name__ == "__main__":
    main()
