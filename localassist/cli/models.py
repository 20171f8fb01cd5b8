"""`localassist models`: list, fetch and check the weights."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from localassist.engine.manifest import Manifest, ManifestModel
    from localassist.engine.model_files import ModelFiles

    Progress = Callable[[int, int], None]

app = typer.Typer(
    help="List, fetch and check the weights of models.", no_args_is_help=True, rich_markup_mode=None
)

_Names = Annotated[list[str] | None, typer.Argument(metavar="NAME")]
_PLAIN_STEP_PERCENT = 10


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the known models and the other files that are here."""
    rows = _rows(_model_files())
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


@app.command()
def fetch(
    names: _Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every known model.")] = False,
) -> None:
    """Fetch the weights of each NAME, or of the default model.

    They go into the weights folder, which the setting LOCALASSIST_MODELS names. A fetch that was
    interrupted goes on where it stopped.
    """
    from localassist.engine.model_fetch import fetch as fetch_model

    files = _model_files()
    wanted = list(files.manifest.models) if everything else _listed(files.manifest, names)
    for model in wanted or [files.manifest.default]:
        with _progress(model.name) as progress:
            path = fetch_model(model, files.models_dir, progress=progress)
        typer.echo(f"{model.name}: {path}")


@app.command()
def check(names: _Names = None) -> None:
    """Check sizes, sha256 and headers of what is here, or of each NAME."""
    files = _model_files()
    models = _listed(files.manifest, names) or _present(files)
    if not models:
        typer.echo("No weights are here yet. Run: localassist models fetch", err=True)
    failed = [model for model in models if not _report(model, files=files)]
    if failed:
        raise typer.Exit(1)


@app.command()
def optimize() -> None:
    """Make the faster copy of the embedding model, which searches use from then on."""
    from localassist.retrieval import embed
    from localassist.retrieval.optimize import optimize as make_copy

    folder = _model_files().models_dir / embed.MODEL
    closeness = make_copy(folder)
    typer.echo(f"{embed.MODEL}: {folder / embed.FAST_FILE} (cosine to the model {closeness:.4f})")


@app.command()
def path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print where the weights of a model belong."""
    files = _model_files()
    entry = files.manifest.find(name)
    found = files.models_dir / entry.file if entry is not None else files.resolve(name).path
    typer.echo(found)
    if not found.exists():
        typer.secho(f"Not there yet. Run: localassist models fetch {name}", err=True)


def _model_files() -> ModelFiles:
    from localassist.engine.model_files import ModelFiles
    from localassist.settings import Settings

    settings = Settings.from_env()
    return ModelFiles(settings.models, default=settings.model)


def _listed(manifest: Manifest, names: Sequence[str] | None) -> list[ManifestModel]:
    from localassist.errors import BadRequestError

    found = []
    for name in names or ():
        model = manifest.find(name)
        if model is None:
            known = ", ".join(model.name for model in manifest.models)
            raise BadRequestError(
                f"The manifest has no model '{name}'.",
                code="model_not_found",
                param="model",
                hint=f"Known are: {known}.",
            )
        found.append(model)
    return found


def _present(files: ModelFiles) -> list[ManifestModel]:
    return [m for m in files.manifest.models if (files.models_dir / m.file).exists()]


def _report(model: ManifestModel, *, files: ModelFiles) -> bool:
    from localassist.errors import LocalAssistError

    try:
        _check(model, files=files)
    except (LocalAssistError, OSError) as error:
        typer.secho(f"{model.name}: {error}", fg=typer.colors.RED, err=True)
        return False
    typer.echo(f"{model.name}: ok")
    return True


def _check(model: ManifestModel, *, files: ModelFiles) -> None:
    from localassist.engine.gguf import read_header
    from localassist.engine.model_fetch import check_weights
    from localassist.engine.model_files import check_chat

    with _progress(model.name) as progress:
        check_weights(model, files.models_dir, progress=progress)
    if model.role == "chat":
        check_chat(read_header(files.models_dir / model.file))


def _rows(files: ModelFiles) -> list[dict[str, Any]]:
    present = {model.name for model in _present(files)}
    rows = [
        {
            "name": model.name,
            "role": model.role,
            "size_bytes": model.size_bytes,
            "present": model.name in present,
            "licence": model.licence,
            "default": model.default,
        }
        for model in files.manifest.models
    ]
    rows += [
        {
            "name": model.name,
            "role": "chat",
            "size_bytes": model.path.stat().st_size,
            "present": True,
            "licence": None,
            "default": False,
        }
        for model in files.available()
        if model.entry is None
    ]
    return rows


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    cells = [("NAME", "ROLE", "SIZE", "PRESENT", "LICENCE", "DEFAULT")]
    cells += [
        (
            row["name"],
            row["role"],
            f"{row['size_bytes'] / 1e6:.0f} MB",
            "yes" if row["present"] else "no",
            row["licence"] or "unknown",
            "yes" if row["default"] else "",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


@contextmanager
def _progress(label: str) -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a line whenever another tenth is done."""
    if not sys.stderr.isatty():
        yield _plain_progress(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn

    columns = ("{task.description}", BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain_progress(label: str) -> Progress:
    shown = 0

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(1, total)
        if percent >= shown + _PLAIN_STEP_PERCENT:
            shown = percent - percent % _PLAIN_STEP_PERCENT
            typer.echo(f"{label}: {shown} %", err=True)

    return show
