"""Constraint: what an answer must look like, enforced token by token through llguidance.

A token is sampled first and checked then: asking about one token is a hundred times cheaper than
asking about all of them, and the model is almost always right. Nothing is accepted unchecked.

A grammar does not remember: the same key twice passes where the schema leaves room for other keys.
Who needs more validates the finished text.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from localassist._lazy import require
from localassist.engine import gbnf
from localassist.engine.json_schema import with_options
from localassist.errors import BadRequestError, ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from localassist.engine.backend import Vocabulary

MAX_GRAMMAR_CHARS = 500_000
# Bounds the work of compiling: 10,000 strings of an enum are about 1 s, far more is an attack.
_MAX_ITEMS_IN_ROW = 20_000
_EMBEDDED = "%json"
_DIGITS = frozenset(bytes([digit]) for digit in b"0123456789")
# Of each bracket that closes, the one inside it that may have been forgotten.
_CLOSING = {b"]": b"}", b"}": b"]"}
_MARK = "\n"
_IN_NUMBERS = _DIGITS | {b".", b"e", b"E"}


@dataclass(frozen=True)
class Grammar:
    """A language that answers are to be in.

    Attributes:
        kind: how `source` is written; `gbnf` is llama.cpp's notation.
        source: JSON text of a schema, a regular expression, or a grammar.
        trigger: the grammar holds from behind this text on, and for everything if it is empty.
        lenient: leave out what of a schema cannot be enforced, for who validates the answer.
        ends_repetition: end a list, text or fraction of JSON that says the same for ever.
    """

    kind: Literal["json_schema", "regex", "lark", "gbnf"]
    source: str
    trigger: str = ""
    lenient: bool = False
    ends_repetition: bool = False


@dataclass(frozen=True)
class _Prepared:
    """llguidance's tokenizer, and all tokens that end an answer."""

    tokenizer: Any
    ends: list[int]
    numeric: frozenset[int]  # tokens that would make a number before them another one


class GrammarCompiler:
    """Makes constraints for one vocabulary. Safe to call from any OS thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._tokenizer: _Prepared | None = None

    def compile(self, grammar: Grammar) -> Constraint:
        """A constraint in its first state.

        Raises:
            BadRequestError: code `invalid_grammar`: it cannot be read, or uses what cannot be
                enforced; nothing is ignored.
        """
        llguidance = require("llguidance", package="llguidance")
        if len(grammar.source) > MAX_GRAMMAR_CHARS:
            raise _invalid(
                f"it has {len(grammar.source)} characters; at most {MAX_GRAMMAR_CHARS} are taken"
            )
        tokenizer = self._prepared(llguidance)
        try:
            text = _to_llguidance(llguidance, grammar)
        except Exception as error:  # its converters raise bare ones for bad input
            raise _invalid(str(error)) from error
        limits = llguidance.LLParserLimits(max_items_in_row=_MAX_ITEMS_IN_ROW)
        matcher = llguidance.LLMatcher(tokenizer.tokenizer, text, log_level=0, limits=limits)
        if matcher.is_error():
            raise _invalid(matcher.get_error())
        if not matcher.is_accepting() and not any(matcher.compute_bitmask()):
            raise _invalid("no text at all is in its language")
        return Constraint(matcher, self._vocabulary, tokenizer, grammar)

    def _prepared(self, llguidance: Any) -> _Prepared:
        """Llguidance's view of the vocabulary; takes about a second, once."""
        with self._lock:
            if self._tokenizer is None:
                tokens = _Tokens(self._vocabulary)
                tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(tokens))
                numeric = frozenset(
                    token for token, text in enumerate(tokens.tokens) if text[:1] in _IN_NUMBERS
                )
                self._tokenizer = _Prepared(tokenizer, tokens.ends, numeric)
            return self._tokenizer


class ByteVocabulary:
    """A vocabulary of single bytes, for checking schemas without a model."""

    n_vocab = 257
    chat_template = bos_text = eos_text = ""
    adds_bos = False

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:  # noqa: ARG002  # the protocol's
        """Its bytes."""
        return list(text.encode())

    def token_bytes(self, token: int) -> bytes:
        """The byte; empty for the end."""
        return bytes([token]) if token < 256 else b""

    def is_end(self, token: int) -> bool:
        """Whether it is the end token."""
        return token == 256


@cache
def _byte_compiler() -> GrammarCompiler:
    return GrammarCompiler(ByteVocabulary())


def check_grammar(grammar: Grammar, *, allow_lenient: bool = False) -> None:
    """Refuse a grammar that could not be enforced, before there is a model.

    Args:
        grammar: to be compiled.
        allow_lenient: take what can be enforced only in part.

    Raises:
        BadRequestError: code `invalid_grammar`, with what is wrong.
    """
    try:
        _byte_compiler().compile(grammar)
    except BadRequestError:
        if not allow_lenient:
            raise
        _byte_compiler().compile(replace(grammar, lenient=True))


class Constraint:
    """The state of one answer. Used by the engine's loop only, after it was made.

    Attributes:
        ends_repetition: as in `Grammar`.
    """

    def __init__(
        self, matcher: Any, vocabulary: Vocabulary, tokenizer: _Prepared, grammar: Grammar
    ) -> None:
        self.ends_repetition = grammar.ends_repetition
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer.tokenizer
        self._ends = tokenizer.ends
        self._numeric = tokenizer.numeric
        self._follows_number = False
        self._trigger = grammar.trigger.encode()
        self._tail = b""
        self._active = not grammar.trigger

    @property
    def complete(self) -> bool:
        """The answer is in the language and nothing can follow."""
        return self._active and bool(self._matcher.is_stopped() and self._matcher.is_accepting())

    @property
    def accepting(self) -> bool:
        """The answer, as it stands, is in the language."""
        return not self._active or bool(self._matcher.is_accepting())

    def allows(self, token: int) -> bool:
        """Whether the token may follow."""
        if self._vocabulary.is_end(token):
            return self.accepting
        if self._active:
            return bool(self._matcher.validate_tokens([token]) == 1)
        behind = self._behind_trigger(token)
        return not behind or self._begin(behind) is not None

    def allows_instead(self, token: int, refused: int) -> bool:
        """Whether the token may follow, where one was meant that may not.

        A number that the model has ended is not made another one: who means "5, 10" where there is
        room for one number would have written 510. (Who writes 1,500 as a number writes 1, but no
        model was seen to.)
        """
        return not self._alters_number(token, refused) and self.allows(token)

    def accept(self, token: int) -> None:
        """The token, which `allows` has allowed, follows."""
        if self._vocabulary.is_end(token):
            return
        if self._active:
            self._follows_number = self._vocabulary.token_bytes(token)[-1:] in _DIGITS
            if not self._matcher.consume_token(token):
                raise ModelError(
                    f"The constraint failed: {self._matcher.get_error()}", code="constraint_failed"
                )
            return
        behind = self._behind_trigger(token)
        if behind is None:
            tail = self._tail + self._vocabulary.token_bytes(token)
            self._tail = tail[-len(self._trigger) :]
            return
        self._active = True
        self._follows_number = behind[-1:] in _DIGITS
        for following in self._begin(behind) or []:
            self._matcher.consume_token(following)

    def beginning_of(self, token: int) -> int | None:
        """The longest token that may follow and that a refused one begins with, if there is one.

        A model closes a list with the token of a bracket and a line break. Where only the line
        break is refused, the bracket is what it means, however unlikely as a token of its own.
        The same holds where only white space before it is.
        """
        if not self._active or self._vocabulary.is_end(token):
            return None
        text = self._vocabulary.token_bytes(token)
        for part in dict.fromkeys((text, text.lstrip())):
            for size in range(len(part), 0, -1):
                if _is_within_number(part, size):
                    continue
                first = int(self._tokenizer.tokenize_bytes(part[:size])[0])
                is_whole = len(self._vocabulary.token_bytes(first)) == size
                if is_whole and self.allows_instead(first, token):
                    return first
        return None

    def forgotten_before(self, token: int) -> int | None:
        """The bracket that must close before a refused token's bracket may, if that is why.

        Small models leave one out behind long arguments. The likeliest token that may follow
        was a comma of 0.3 % there, and a call that they did not mean.
        """
        if not self._active or self._vocabulary.is_end(token):
            return None
        meant = self._vocabulary.token_bytes(token).lstrip()[:1]
        if meant not in _CLOSING:
            return None
        closing, meant_closing = self._byte_token(_CLOSING[meant]), self._byte_token(meant)
        for count in (1, 2):
            tokens = [closing] * count + [meant_closing]
            if self._matcher.validate_tokens(tokens) == len(tokens):
                return closing
        return None

    def spelled(self, text: bytes) -> list[int] | None:
        """The tokens of a text that may follow; None of one that may not."""
        return self._begin(text) if self._active else None

    def _byte_token(self, text: bytes) -> int:
        return int(self._tokenizer.tokenize_bytes(text)[0])

    def mask_instead(self, refused: int) -> npt.NDArray[np.bool_]:
        """Which tokens may follow instead of one that may not, shape (n_vocab,).

        Those that `allows_instead` names; if there is none, all that may follow.
        """
        allowed = self.mask()
        if self._follows_number and refused not in self._numeric:
            others = allowed.copy()
            others[list(self._numeric)] = False
            if others.any():
                return others
        return allowed

    def mask(self) -> npt.NDArray[np.bool_]:
        """Which tokens may follow, shape (n_vocab,)."""
        np: Any = require("numpy", package="numpy")
        size = self._vocabulary.n_vocab
        if not self._active:
            return np.fromiter((self.allows(t) for t in range(size)), np.bool_, size)  # type: ignore[no-any-return]  # numpy is imported late
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[:size].astype(np.bool_)
        if len(allowed) < size:
            allowed = np.concatenate([allowed, np.zeros(size - len(allowed), np.bool_)])
        # llguidance knows one end; models have several.
        allowed[self._ends] = self.accepting
        return allowed  # type: ignore[no-any-return]  # numpy is imported late

    def _alters_number(self, token: int, refused: int) -> bool:
        return self._follows_number and token in self._numeric and refused not in self._numeric

    def _behind_trigger(self, token: int) -> bytes | None:
        """What of the token comes behind the trigger; None while it has not been written."""
        text = self._tail + self._vocabulary.token_bytes(token)
        at = text.find(self._trigger)
        return None if at < 0 else text[at + len(self._trigger) :]

    def _begin(self, text: bytes) -> list[int] | None:
        """Tokens of `text` if the language can begin with it."""
        tokens: list[int] = self._tokenizer.tokenize_bytes(text)
        fits = self._matcher.validate_tokens(tokens) == len(tokens)
        return tokens if fits else None


def _is_within_number(text: bytes, size: int) -> bool:
    return text[size - 1 : size] in _DIGITS and text[size : size + 1] in _DIGITS


class _Tokens:
    """A vocabulary in the form that llguidance asks for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        size = vocabulary.n_vocab
        self.tokens = [vocabulary.token_bytes(token) for token in range(size)]
        self.ends = [token for token in range(size) if vocabulary.is_end(token)]
        special = {token for token, text in enumerate(self.tokens) if not text}
        self.special_token_ids = sorted(special.union(self.ends))
        self.eos_token_id = self.ends[0] if self.ends else size - 1
        self.bos_token_id = None
        # llguidance wants a name for what has no text.
        for token in self.special_token_ids:
            self.tokens[token] = b"\xff<%d>" % token

    def __call__(self, text: bytes | str) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        tokens = self._vocabulary.tokenize(text, parse_special=False)
        if self._text(tokens) == text.encode():
            return tokens
        # Some vocabularies put a space before any text: then it stands before a mark.
        tokens = self._vocabulary.tokenize(f"{_MARK}{text}", parse_special=False)
        for count in range(len(tokens) + 1):
            if self._text(tokens[:count]).endswith(_MARK.encode()):
                return tokens[count:]
        return tokens

    def _text(self, tokens: list[int]) -> bytes:
        return b"".join(self.tokens[token] for token in tokens)


def _to_llguidance(llguidance: Any, grammar: Grammar) -> str:
    matcher = llguidance.LLMatcher
    if grammar.kind == "json_schema":
        schema = with_options(json.loads(grammar.source), lenient=grammar.lenient)
        text = matcher.grammar_from_json_schema(json.dumps(schema))
    elif grammar.kind == "regex":
        text = matcher.grammar_from_regex(grammar.source)
    elif grammar.kind == "gbnf":
        # What would also read as Lark's notation is not taken for it.
        converted = llguidance.gbnf_to_lark.gbnf_to_lark(gbnf.readable(grammar.source))
        text = matcher.grammar_from_lark(converted)
    else:
        if grammar.source.lstrip().startswith("{"):
            raise ValueError("a grammar in Lark's notation is wanted")
        text = matcher.grammar_from_lark(_with_options(grammar))
    if problem := matcher.validate_grammar(text, None):
        raise ValueError(problem)
    return str(text)


def _with_options(grammar: Grammar) -> str:
    """The grammar, each schema that it embeds with its options."""
    first, *embedded = grammar.source.split(_EMBEDDED)
    parts = [first]
    for text in embedded:
        text = text.lstrip()
        schema, end = json.JSONDecoder().raw_decode(text)
        schema = with_options(schema, lenient=grammar.lenient)
        parts.append(f"{embedded_schema(schema)}{text[end:]}")
    return "".join(parts)


def embedded_schema(schema: Any) -> str:
    """A schema as it stands in a grammar of kind `lark`."""
    # A text of the schema could hold the mark itself.
    return f"{_EMBEDDED} {json.dumps(schema)}".replace("%", r"\u0025").replace(r"\u0025", "%", 1)


def _invalid(why: str) -> BadRequestError:
    return BadRequestError(
        f"Invalid grammar: {why.strip().splitlines()[0] if why.strip() else 'it cannot be read'}.",
        code="invalid_grammar",
    )
