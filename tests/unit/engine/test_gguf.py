from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from gguf_writer import Q4_K, TEMPLATE, Gguf, Tensor, Typed, array, llama_values, text, u32
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.gguf import GgufHeader, read_header
from localassist.errors import ModelFileError
from localassist.settings import Settings


def read(tmp_path: Path, gguf: Gguf) -> GgufHeader:
    return read_header(gguf.write(tmp_path / "m.gguf"))


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    return caught.value


def test_a_header_is_read(tmp_path):
    gguf = Gguf()
    header = read(tmp_path, gguf)

    assert (header.architecture, header.name, header.version) == ("llama", "Tiny", 3)
    assert (header.context_length, header.block_count, header.embedding_length) == (2048, 3, 64)
    assert (header.head_count, header.head_count_kv) == (8, 2)
    assert (header.key_length, header.value_length) == (8, 8)
    assert header.chat_template == TEMPLATE
    assert header.tensor_count == 1
    assert header.size_bytes == len(gguf.encode())


def test_version_2_is_read_too(tmp_path):
    assert read(tmp_path, Gguf(version=2)).version == 2


def test_order_of_keys_does_not_matter(tmp_path):
    values = dict(reversed(llama_values().items()))
    assert read(tmp_path, Gguf(values=values)).context_length == 2048


def test_kv_cache_takes_keys_and_values_of_every_block(tmp_path):
    # 3 blocks * 2 heads * (8 + 8) elements * 2 bytes
    assert read(tmp_path, Gguf()).kv_bytes_per_token == 192


def test_key_and_value_length_may_differ_from_the_heads_share(tmp_path):
    lengths = {
        "llama.attention.key_length": u32(32),
        "llama.attention.value_length": u32(16),
    }
    header = read(tmp_path, Gguf(values=llama_values() | lengths))
    assert header.kv_bytes_per_token == 3 * 2 * (32 + 16) * 2


def test_kv_heads_may_be_given_per_block(tmp_path):
    heads = {"llama.attention.head_count_kv": array(5, [0, 4, 1])}
    header = read(tmp_path, Gguf(values=llama_values() | heads))
    assert header.head_count_kv == 4
    assert header.kv_bytes_per_token == (0 + 4 + 1) * (8 + 8) * 2


def test_kv_heads_default_to_heads(tmp_path):
    values = llama_values(**{"llama.attention.head_count_kv": None})
    assert read(tmp_path, Gguf(values=values)).head_count_kv == 8


def test_a_model_without_attention_has_no_kv_cache(tmp_path):
    heads = {"llama.attention.head_count": u32(0), "llama.attention.head_count_kv": u32(0)}
    assert read(tmp_path, Gguf(values=llama_values() | heads)).kv_bytes_per_token == 0


def test_no_chat_template_reads_as_none(tmp_path):
    values = llama_values(**{"tokenizer.chat_template": None})
    assert read(tmp_path, Gguf(values=values)).chat_template is None


def test_values_of_every_type_are_skipped(tmp_path):
    strange = {f"x.{kind}": Typed(kind, 1) for kind in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12)}
    strange["x.empty"] = array(8, [])
    assert read(tmp_path, Gguf(values=strange | llama_values())).block_count == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "model_file_not_gguf"),
        (b"PK\3\4 a zip", "model_file_not_gguf"),
        (b"GG", "model_file_not_gguf"),
        (b"GGUF", "model_file_truncated"),
        (b"GGUF" + struct.pack("<I", 1), "model_file_unsupported"),
        (b"GGUF" + struct.pack(">I", 3), "model_file_unsupported"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, code):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert refusal(path).code == code


def test_a_missing_file_is_named_with_the_way_to_get_one(tmp_path):
    error = refusal(tmp_path / "none.gguf")
    assert error.code == "model_file_missing"
    assert "none.gguf" in error.message
    assert "localassist models fetch" in str(error)


@pytest.mark.parametrize("name", ["a\0b.gguf", "x" * 5000, "file.txt/m.gguf", "."])
def test_a_path_that_cannot_be_a_file_counts_as_missing(tmp_path, name):
    (tmp_path / "file.txt").touch()
    assert refusal(tmp_path / name).code == "model_file_missing"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    assert refusal(tmp_path / "pipe.gguf").code == "model_file_missing"


def test_a_file_cut_in_its_tensors_says_where_they_should_end(tmp_path):
    path = Gguf(data_bytes=127).write(tmp_path / "m.gguf")
    error = refusal(path)
    assert error.code == "model_file_truncated"
    assert f"byte {path.stat().st_size + 1}" in error.message


@pytest.mark.parametrize(("data_bytes", "fits"), [(144, True), (143, False)])
def test_blocks_of_a_quantised_tensor_are_counted(tmp_path, data_bytes, fits):
    gguf = Gguf(tensors=(Tensor("w", (256,), kind=Q4_K),), data_bytes=data_bytes)
    if fits:
        assert read(tmp_path, gguf).tensor_count == 1
    else:
        assert refusal(gguf.write(tmp_path / "m.gguf")).code == "model_file_truncated"


@pytest.mark.parametrize(("offset", "fits"), [(128, True), (129, False)])
def test_of_an_unknown_type_the_offset_must_lie_inside(tmp_path, offset, fits):
    gguf = Gguf(tensors=(Tensor("w", (256,), kind=999, offset=offset),), data_bytes=128)
    if fits:
        assert read(tmp_path, gguf).tensor_count == 1
    else:
        assert refusal(gguf.write(tmp_path / "m.gguf")).code == "model_file_truncated"


HUGE = struct.pack("<Q", 2**64 - 1)


@pytest.mark.parametrize(
    "gguf",
    [
        Gguf(claimed_tensors=2**63),
        Gguf(claimed_values=2**63),
        Gguf(claimed_tensors=50_000),
        Gguf(claimed_values=50_000),
        Gguf(values={"a": Typed(8, HUGE)}),
        Gguf(values={"a": Typed(9, struct.pack("<I", 8) + HUGE)}),
        Gguf(values={"a": Typed(9, struct.pack("<I", 10) + HUGE)}),
        Gguf(values={"a": Typed(9, struct.pack("<IQ", 8, 2) + HUGE)}),
        Gguf(values={"a": Typed(9, struct.pack("<IQ", 8, 2) + struct.pack("<Q", 2**62))}),
        Gguf(values={"a": Typed(9, struct.pack("<IQIQ", 9, 1, 9, 1))}),
        Gguf(values={"a": Typed(99, b"")}),
        Gguf(values={"tokenizer.chat_template": Typed(8, struct.pack("<Q", 2**40))}),
        Gguf(values={"x.head_count_kv": Typed(9, struct.pack("<I", 4) + HUGE)}),
        Gguf(values=llama_values() | {"general.alignment": u32(0)}),
        Gguf(values=llama_values() | {"general.alignment": u32(2**31)}),
        Gguf(values=llama_values() | {"llama.block_count": u32(0)}),
        Gguf(values=llama_values() | {"llama.context_length": u32(2**31)}),
        Gguf(values=llama_values() | {"llama.attention.head_count": Typed(5, -8)}),
        Gguf(tensors=(Tensor("w", (2**63, 2**63)),)),
        Gguf(tensors=(Tensor("w", (1, 1, 1, 1, 1)),)),
    ],
)
def test_what_the_file_claims_is_checked_against_its_size(tmp_path, gguf):
    error = refusal(gguf.write(tmp_path / "m.gguf"))
    assert error.code == "model_file_truncated"
    assert "again" in str(error)


def test_a_key_that_is_there_twice_is_damage(tmp_path):
    once = Gguf(values={"general.name": text("a"), "general.namx": text("b")}).encode()
    path = tmp_path / "m.gguf"
    path.write_bytes(once.replace(b"general.namx", b"general.name"))
    assert "twice" in str(refusal(path))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (llama_values(**{"general.architecture": None}), "architecture"),
        (llama_values(**{"llama.context_length": None}), "llama.context_length"),
        (llama_values(**{"llama.context_length": Typed(6, 1.5)}), "llama.context_length"),
        (llama_values() | {"split.count": Typed(2, 2)}, "split"),
    ],
)
def test_a_file_that_is_no_whole_language_model_is_unsupported(tmp_path, values, said):
    error = refusal(Gguf(values=values).write(tmp_path / "m.gguf"))
    assert error.code == "model_file_unsupported"
    assert said in str(error)


def test_a_file_of_a_vocabulary_only_is_unsupported(tmp_path):
    error = refusal(Gguf(tensors=()).write(tmp_path / "m.gguf"))
    assert error.code == "model_file_unsupported"


def test_a_model_marked_as_one_part_of_one_is_whole(tmp_path):
    values = llama_values() | {"split.count": Typed(2, 1)}
    assert read(tmp_path, Gguf(values=values)).tensor_count == 1


WHOLE = Gguf().encode()


def outcome(path: Path, content: bytes) -> GgufHeader | ModelFileError:
    path.write_bytes(content)
    started = time.perf_counter()
    try:
        return read_header(path)
    except ModelFileError as error:
        return error
    finally:
        assert time.perf_counter() - started < 1


@given(length=st.integers(0, len(WHOLE) - 1))
def test_no_prefix_of_a_file_passes_for_a_model(tmp_path_factory, length):
    path = tmp_path_factory.getbasetemp() / "prefix.gguf"
    assert isinstance(outcome(path, WHOLE[:length]), ModelFileError)


@given(
    flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8),
    length=st.integers(0, len(WHOLE)),
)
def test_flipped_bytes_give_a_header_or_a_model_file_error(tmp_path_factory, flips, length):
    content = bytearray(WHOLE)
    for position, byte in flips:
        content[position] = byte
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    result = outcome(path, bytes(content[:length]))
    if isinstance(result, GgufHeader):
        assert result.size_bytes == length
        assert result.kv_bytes_per_token >= 0


@given(content=st.binary(max_size=400))
def test_random_bytes_behind_the_magic_give_a_model_file_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random.gguf"
    result = outcome(path, b"GGUF\3\0\0\0" + content)
    assert isinstance(result, ModelFileError)


def test_a_large_vocabulary_is_skipped_quickly(tmp_path):
    words = [f"token{number}" for number in range(300_000)]
    values = llama_values() | {"tokenizer.ggml.merges": array(8, words)}
    path = Gguf(values=values).write(tmp_path / "m.gguf")

    started = time.perf_counter()
    read_header(path)
    assert time.perf_counter() - started < 1


@pytest.mark.model
def test_the_header_of_a_real_model_is_read():
    path = Settings.from_env().models / "smollm2-135m-instruct-q4_1.gguf"
    if not path.is_file():
        pytest.skip("not fetched: localassist models fetch smollm2-135m-instruct")

    header = read_header(path)

    assert (header.architecture, header.version, header.tensor_count) == ("llama", 3, 272)
    assert (header.context_length, header.block_count, header.embedding_length) == (8192, 30, 576)
    assert (header.head_count, header.head_count_kv) == (9, 3)
    assert header.kv_bytes_per_token == 23_040
    assert header.chat_template is not None
    assert "<|im_start|>" in header.chat_template
