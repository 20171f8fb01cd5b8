"""The command `localassist`: the list of its subcommands, and how it reports errors."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from localassist.cli import bench, demo, doctor, models, serve
from localassist.errors import LocalAssistError


class Commands(TyperGroup):
    """Commands whose `LocalAssistError` ends the process with one line and status 1."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LocalAssistError as error:
            line = " ".join(str(error).split())
            typer.secho(f"Error: {line}", fg=typer.colors.RED, err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    name="localassist",
    cls=Commands,
    help="The OpenAI Assistants API on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time that help takes
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")
app.command()(bench.bench)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(serve.serve)
