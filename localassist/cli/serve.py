"""`localassist serve`: the API over HTTP, for programs of this machine."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Annotated

import typer

_SWITCH_S = 0.0005
_KEY = "LOCALASSIST_API_KEY"


def serve(
    home: Annotated[str | None, typer.Option(help="The data folder.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 8000,
    model: Annotated[str | None, typer.Option(help="Default chat model.")] = None,
) -> None:
    """Serve the API over HTTP until it is interrupted.

    The address is this machine's own unless --host says otherwise; then the environment variable
    LOCALASSIST_API_KEY has to hold a key, which every request has to bring.
    """
    from localassist.api import runtime as runtimes
    from localassist.errors import BadRequestError
    from localassist.http.app import LOOPBACK, App
    from localassist.http.server import listening_socket, server
    from localassist.settings import Settings

    key = os.environ.get(_KEY) or None
    if key is None and not _is_loopback(host):
        raise BadRequestError(
            f"The address '{host}' can be reached from other machines.",
            code="api_key_needed",
            param="host",
            hint=f"Set {_KEY} to a long random text, and give it to the clients as their API key.",
        )
    runtime = runtimes.acquire(Settings.from_env(home=home, model=model))
    # With a key, no page of a browser gets in by a name that was made to point here.
    app = App(runtime, api_key=key, hosts=None if key else LOOPBACK | {host})
    # Many OS threads want the interpreter: none has it for long while a request waits.
    sys.setswitchinterval(_SWITCH_S)
    listening = listening_socket(host, port)
    port = listening.getsockname()[1]
    typer.echo(f"Serving {runtime.settings.home}")
    typer.echo(f"base_url: http://{host}:{port}/v1" + ("" if key is None else "  (key needed)"))
    try:
        server(app).run(sockets=[listening])
    finally:
        # Runs that are not done are resumed by whoever opens the folder next.
        runtimes.release(runtime)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
