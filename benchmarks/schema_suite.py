"""JSON-Schema-Test-Suite against what we enforce: right, cleanly refused, or wrong.

A value is taken if the grammar admits it in one of its spellings and the validated value fits; that
is what a run does with what its model writes. Formats are enforced, which the suite's main part
wants them not to be: that is counted apart. SUITE names a folder of the suite's files, for example
`tests/draft2020-12`.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.engine.constraint import ByteVocabulary, Grammar, GrammarCompiler
from localassist.engine.json_schema import check_schema, problems
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPILER = GrammarCompiler(ByteVocabulary())


def judge(folder: Path) -> Counter[str]:
    """Count the suite's groups; a group is wrong if any instance in it is judged wrongly."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            verdict = _group(group)
            counts[verdict] += 1
            if verdict.startswith("wrong"):
                print(f"  {verdict}: {path.stem}: {group['description']}")
    return counts


def _group(group: dict[str, Any]) -> str:
    schema = group["schema"]
    source = json.dumps(schema)
    grammar = None
    for lenient in (False, True):
        try:
            check_schema(schema)
            grammar = Grammar("json_schema", source, lenient=lenient)
            _COMPILER.compile(grammar)
            break
        except BadRequestError:
            grammar = None
    if grammar is None:
        return "refused"
    taken = [(_taken(grammar, schema, each["data"]), each["valid"]) for each in group["tests"]]
    if (True, False) in taken:
        return "wrong: takes what is invalid"
    if (False, True) in taken:
        return "a format is enforced" if "format" in schema else "wrong: refuses what is valid"
    return f"right, enforced {'in part' if grammar.lenient else 'in full'}"


def _taken(grammar: Grammar, schema: Any, value: Any) -> bool:
    return not problems(value, schema) and any(
        _admitted(grammar, text) for text in _spellings(value)
    )


def _admitted(grammar: Grammar, text: str) -> bool:
    constraint = _COMPILER.compile(grammar)
    for byte in text.encode():
        if not constraint.allows(byte):
            return False
        constraint.accept(byte)
    return constraint.accepting


def _spellings(value: Any) -> Iterator[str]:
    """JSON texts of a value: its keys in every order, whole numbers with and without a fraction."""
    if isinstance(value, dict):
        for items in itertools.islice(itertools.permutations(value.items()), 24):
            yield json.dumps(dict(items), ensure_ascii=False)
        return
    yield json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer():
        yield json.dumps(int(value))


def main() -> None:
    """Judge the folder that SUITE names."""
    folder = os.environ.get("SUITE")
    if folder is None:
        print("skipped: SUITE does not name a folder of the JSON-Schema-Test-Suite")
        return
    counts = judge(Path(folder))
    total = sum(counts.values())
    for verdict, count in counts.most_common():
        print(f"{verdict:<24} {count:>4} of {total} ({count / total:.1%})")


if __name__ == "__main__":
    main()
