"""The header of a GGUF file, read by our own bounded parser.

llama.cpp aborts the process on some damaged files and reads a whole vocabulary before it can say
how large a model is. This parser trusts nothing in the file: every count and length is checked
against the file's size or a fixed ceiling, and nothing but the few wanted values is kept.
Format: docs/gguf.md of the ggml project, versions 2 and 3, little endian.
"""

from __future__ import annotations

import mmap
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from struct import Struct, unpack_from
from struct import error as StructError
from typing import TYPE_CHECKING

from localassist.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Ceilings far above any published model; they keep a hostile file from costing more than a moment.
MAX_KEYS = 65_536
MAX_TENSORS = 100_000
MAX_ARRAY_ITEMS = 4_000_000
MAX_KEY_BYTES = 4_096
MAX_TEXT_BYTES = 4 * 1024 * 1024
MAX_DIMS = 4
MAX_COUNT = 2**31

_U32 = Struct("<I")
_U64 = Struct("<Q")
_STRING, _ARRAY = 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_INTEGER_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}

_TEXTS = frozenset({"general.architecture", "general.name", "tokenizer.chat_template"})
_NUMBERS = (
    "general.alignment",
    "split.count",
    ".context_length",
    ".block_count",
    ".embedding_length",
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.value_length",
)

# ggml type: (elements in a block, bytes of a block). From ggml-common.h.
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 40),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
}
# Of a type we do not know only the offset can be checked.
_UNKNOWN_BLOCK = (1, 0)

_FETCH_AGAIN = "Fetch or copy the file again."


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes:
        name: the author's title, or None.
        version: GGUF version, 2 or 3.
        context_length: tokens the model was trained for.
        head_count_kv: key-value heads of the block that has most.
        kv_head_sum: key-value heads of all blocks together.
        key_length: elements of one head's key.
        value_length: elements of one head's value.
        chat_template: jinja source, or None.
        size_bytes: size of the whole file.
    """

    path: Path
    architecture: str
    name: str | None
    version: int
    context_length: int
    block_count: int
    embedding_length: int
    head_count: int
    head_count_kv: int
    kv_head_sum: int
    key_length: int
    value_length: int
    chat_template: str | None = field(repr=False)
    tensor_count: int
    size_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token of context takes in a float16 KV cache."""
        return 2 * self.kv_head_sum * (self.key_length + self.value_length)


def read_header(path: Path) -> GgufHeader:
    """Read the header and check that every tensor lies inside the file.

    Raises:
        ModelFileError: code `model_file_missing` (not there, or unreadable),
            `model_file_not_gguf`, `model_file_truncated` (cut short or damaged) or
            `model_file_unsupported` (version, part of a split model, no language model).
    """
    with _mapped(path) as data:
        return _Reader(data, path=path).header()


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path, "does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _missing(path, f"cannot be read ({error})") from None
    # Opening a pipe or a device could block for ever.
    if not stat.S_ISREG(status.st_mode):
        raise _missing(path, "is not a file")
    if status.st_size == 0:
        raise _error(path, "not_gguf", "is empty.", hint=_FETCH_AGAIN)
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: emptied since the stat
        raise _missing(path, f"cannot be read ({error})") from None
    with data:
        yield data


class _Reader:
    """A position in the mapped file. Every method that moves it checks the end first."""

    def __init__(self, data: mmap.mmap, *, path: Path) -> None:
        self._data = data
        self._path = path
        self._size = len(data)
        self._position = 0
        self._items_left = MAX_ARRAY_ITEMS

    def header(self) -> GgufHeader:
        version, num_tensors, num_values = self._preamble()
        texts: dict[str, str] = {}
        numbers: dict[str, tuple[int, ...]] = {}
        for _ in range(num_values):
            self._value(texts, numbers)
        if max(numbers.get("split.count", (1,)), default=1) > 1:
            raise self._unsupported(
                "is one part of a split model.",
                hint="Join the parts with 'llama-gguf-split --merge' and use the result.",
            )
        self._check_tensors(num_tensors, alignment=numbers.get("general.alignment", (32,)))
        return self._describe(texts, numbers, version=version, num_tensors=num_tensors)

    def _preamble(self) -> tuple[int, int, int]:
        magic = self._data[:4]
        if magic != b"GGUF":
            raise _error(
                self._path,
                "not_gguf",
                f"is not a GGUF file: it starts with {magic!r}, not with b'GGUF'.",
                hint="Only GGUF models can be used.",
            )
        self._position = 4
        version = self._u32()
        if version not in (2, 3):
            kind = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
            raise self._unsupported(f"is a {kind} GGUF file; versions 2 and 3 can be read.")
        num_tensors, num_values = self._u64(), self._u64()
        for count, ceiling, noun in (
            (num_tensors, MAX_TENSORS, "tensors"),
            (num_values, MAX_KEYS, "keys"),
        ):
            if count > ceiling:
                raise self._damaged(f"it claims {count} {noun}")
        if num_tensors == 0:
            raise self._unsupported("holds no weights.")
        return version, num_tensors, num_values

    def _value(self, texts: dict[str, str], numbers: dict[str, tuple[int, ...]]) -> None:
        key = self._text(limit=MAX_KEY_BYTES)
        kind = self._u32()
        if key in texts or key in numbers:
            raise self._damaged(f"it has the key {key!r} twice")
        if kind == _STRING and key in _TEXTS:
            texts[key] = self._text(limit=MAX_TEXT_BYTES)
        elif kind in _INTEGER_FORMATS and key.endswith(_NUMBERS):
            numbers[key] = self._integers(kind, count=1)
        elif kind == _ARRAY:
            element, count = self._u32(), self._u64()
            if element in _INTEGER_FORMATS and key.endswith(_NUMBERS):
                self._spend(count)
                numbers[key] = self._integers(element, count=count)
            else:
                self._skip_array(element, count=count)
        else:
            self._skip_value(kind)

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._skip(self._u64())
        elif kind in _SCALAR_BYTES:
            self._skip(_SCALAR_BYTES[kind])
        else:
            raise self._damaged(f"a value has the unknown type {kind}")

    def _skip_array(self, element: int, *, count: int) -> None:
        if element == _STRING:
            self._spend(count)
            self._skip_strings(count)
        elif element in _SCALAR_BYTES:
            self._skip(count * _SCALAR_BYTES[element])
        else:  # llama.cpp refuses arrays of arrays as well
            raise self._damaged(f"an array has entries of the unknown type {element}")

    def _spend(self, num_items: int) -> None:
        if num_items > self._items_left:
            raise self._damaged(f"its arrays claim more than {MAX_ARRAY_ITEMS} entries")
        self._items_left -= num_items

    def _skip_strings(self, count: int) -> None:
        # Vocabularies are 300 000 strings: this loop is most of the time that a header takes.
        data, position, read = self._data, self._position, _U64.unpack_from
        try:
            for _ in range(count):
                position += 8 + read(data, position)[0]
        except (StructError, OverflowError):
            raise self._cut_short() from None
        if position > self._size:
            raise self._cut_short()
        self._position = position

    def _check_tensors(self, count: int, *, alignment: tuple[int, ...]) -> None:
        end = max(self._tensor_end() for _ in range(count))
        if len(alignment) != 1 or alignment[0] < 1:
            raise self._damaged(f"the alignment of its tensors is {alignment}")
        start = -(-self._position // alignment[0]) * alignment[0]
        if start + end > self._size:
            raise _error(
                self._path,
                "truncated",
                f"is cut short: its tensors end at byte {start + end}, the file at {self._size}.",
                hint=_FETCH_AGAIN,
            )

    def _tensor_end(self) -> int:
        """Byte, counted from the start of the tensor data, at which the next tensor ends."""
        self._skip(self._u64())
        num_dims = self._u32()
        if num_dims > MAX_DIMS:
            raise self._damaged(f"a tensor has {num_dims} dimensions")
        num_elements = prod(self._integers(10, count=num_dims))
        num_per_block, block_bytes = _BLOCKS.get(self._u32(), _UNKNOWN_BLOCK)
        return self._u64() + -(-num_elements // num_per_block) * block_bytes

    def _describe(
        self,
        texts: dict[str, str],
        numbers: dict[str, tuple[int, ...]],
        *,
        version: int,
        num_tensors: int,
    ) -> GgufHeader:
        architecture = texts.get("general.architecture", "")
        if not architecture:
            raise self._unsupported("does not name its architecture.")

        def values(name: str, *, default: tuple[int, ...] = (), low: int = 0) -> tuple[int, ...]:
            found = numbers.get(f"{architecture}.{name}", ()) or default
            if not found:
                raise self._unsupported(
                    f"lacks '{architecture}.{name}', which every language model has."
                )
            if min(found) < low or max(found) >= MAX_COUNT:
                raise self._damaged(f"'{architecture}.{name}' is {min(found)} to {max(found)}")
            return found

        block_count = max(values("block_count", low=1))
        embedding_length = max(values("embedding_length", low=1))
        heads = values("attention.head_count")
        kv_heads = values("attention.head_count_kv", default=heads)
        # llama.cpp's own default. A model without attention has 0 heads.
        head_length = embedding_length // max(1, *heads)
        return GgufHeader(
            path=self._path,
            architecture=architecture,
            name=texts.get("general.name"),
            version=version,
            context_length=max(values("context_length", low=1)),
            block_count=block_count,
            embedding_length=embedding_length,
            head_count=max(heads),
            head_count_kv=max(kv_heads),
            kv_head_sum=sum(kv_heads) if len(kv_heads) > 1 else kv_heads[0] * block_count,
            key_length=max(values("attention.key_length", default=(head_length,))),
            value_length=max(values("attention.value_length", default=(head_length,))),
            chat_template=texts.get("tokenizer.chat_template"),
            tensor_count=num_tensors,
            size_bytes=self._size,
        )

    def _u32(self) -> int:
        self._skip(4)
        value: int = _U32.unpack_from(self._data, self._position - 4)[0]
        return value

    def _u64(self) -> int:
        self._skip(8)
        value: int = _U64.unpack_from(self._data, self._position - 8)[0]
        return value

    def _integers(self, kind: int, *, count: int) -> tuple[int, ...]:
        start = self._position
        self._skip(count * _SCALAR_BYTES[kind])
        return unpack_from(f"<{count}{_INTEGER_FORMATS[kind]}", self._data, start)

    def _text(self, *, limit: int) -> str:
        num_bytes = self._u64()
        if num_bytes > limit:
            raise self._damaged(f"a text of {num_bytes} bytes")
        start = self._position
        self._skip(num_bytes)
        return self._data[start : self._position].decode("utf-8", "replace")

    def _skip(self, num_bytes: int) -> None:
        if num_bytes > self._size - self._position:
            raise self._cut_short()
        self._position += num_bytes

    def _cut_short(self) -> ModelFileError:
        return self._damaged(f"its header does not end within its {self._size} bytes")

    def _damaged(self, detail: str) -> ModelFileError:
        message = f"is damaged or cut short ({detail})."
        return _error(self._path, "truncated", message, hint=_FETCH_AGAIN)

    def _unsupported(self, message: str, *, hint: str = "Choose another model.") -> ModelFileError:
        return _error(self._path, "unsupported", message, hint=hint)


def _missing(path: Path, problem: str) -> ModelFileError:
    return ModelFileError(
        f"'{path}' {problem}.",
        code="model_file_missing",
        hint="Give the path of a GGUF file, or run: localassist models fetch",
    )


def _error(path: Path, kind: str, message: str, *, hint: str) -> ModelFileError:
    return ModelFileError(f"'{path.name}' {message}", code=f"model_file_{kind}", hint=hint)
