"""`localassist doctor`: whether the sandbox holds, and what llama.cpp makes of this machine."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.interpreter.attack_range import Outcome
    from localassist.interpreter.attacks.attack import Attack
    from localassist.interpreter.fork_server import KernelServer
    from localassist.interpreter.sandbox.policy import Tier


def doctor(
    attack: Annotated[
        bool, typer.Option("--attack", help="Try every attack on the sandbox, not only some.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Try the attacks on a kernel without a sandbox.")
    ] = False,
    tier: Annotated[
        str | None, typer.Option(help="Attack this tier rather than the best one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which sandbox code runs in here, attack it, and tell what llama.cpp can use.

    Ends with status 1 if no sandbox holds, or if an attack gets out that is not known to.
    """
    if sys.platform in ("linux", "darwin"):
        from localassist.interpreter.fork_server import open_server

        with tempfile.TemporaryDirectory() as cache:
            server = open_server(Path(cache))
            try:
                found = _examine(server, whole=attack, plain=plain, named=tier, quiet=as_json)
            finally:
                server.close()
    else:
        found = {"holds": False}
        if not as_json:
            typer.echo(f"There is no sandbox for {sys.platform} yet, so no code is run.")
    found["llama_cpp"] = _llama(quiet=as_json)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    raise typer.Exit(0 if found["holds"] else 1)


def _examine(
    server: KernelServer, *, whole: bool, plain: bool, named: str | None, quiet: bool
) -> dict[str, Any]:
    from localassist.interpreter.probe import probe_all
    from localassist.interpreter.sandbox import landlock
    from localassist.interpreter.sandbox.policy import python_policy

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text)

    user = "root" if os.getuid() == 0 else f"user {os.getuid()}"
    say(f"{platform.system()} {platform.release()} on {platform.machine()}, {user}")
    landlock_version = landlock.version() if sys.platform == "linux" else 0
    say(f"Landlock version {landlock_version}\n\nTiers, the best first:")
    verdicts = probe_all(server)
    for verdict in verdicts:
        say(f"  {verdict.tier:<9} {'yes' if verdict.usable else 'no':<4} {verdict.reason}")
    usable = [verdict.tier for verdict in verdicts if verdict.usable]
    found: dict[str, Any] = {
        "tiers": [vars(verdict) for verdict in verdicts],
        "landlock": landlock_version,
        "tier": usable[0] if usable else None,
        "limits": python_policy().to_json(),
        "holds": bool(usable) or plain,
    }
    if not usable and not plain:
        say("\nNo tier holds here, so no code is run.")
        return found
    if sys.platform == "darwin":
        say("\nThe attacks are written for Linux; none was tried.")
        return found
    chosen: Any = "plain" if plain else _choice(named, usable)
    if not plain:
        found["start_ms"] = _start_ms(server, chosen)
        say(f"\nIn use: {chosen}; a kernel starts in {found['start_ms']:.0f} ms")
        say(_limits(found["limits"]))
    outcomes = _attack(server, chosen, whole=whole, say=say)
    found["attacks"] = [
        {"id": each.attack.id, "out": each.out, "expected": each.expected, "seen": each.evidence}
        for each in outcomes
    ]
    bad = [each for each in outcomes if each.out and not each.expected]
    say(f"{len(outcomes)} attacks, {sum(each.out for each in outcomes)} got out, "
        f"{len(bad)} of them unexpectedly")  # fmt: skip
    found["holds"] = plain or not bad
    return found


def _llama(*, quiet: bool) -> dict[str, Any]:
    """What the installed llama.cpp can use of this machine."""
    from localassist.engine import llama_library
    from localassist.errors import MissingPackageError
    from localassist.settings import Settings

    settings = Settings.from_env()
    try:
        library = llama_library.load(even_split=settings.even_split)
    except MissingPackageError as error:
        if not quiet:
            typer.echo(f"\n{error}")
        return {"error": str(error)}
    features = re.findall(r"(\w+) = 1\b", library.features)
    in_use = {
        "equal parts of a matrix for each thread": library.splits_evenly,
        "weights laid out for the processor": library.extra_layouts and settings.repack,
        "full speed behind long conversations": not library.attends_slowly,
    }
    if not quiet:
        typer.echo(f"\nllama.cpp of llama-cpp-python {library.version}: {' '.join(features)}")
        for name, is_used in in_use.items():
            typer.echo(f"  {name:<40} {'yes' if is_used else 'no'}")
        if not all((library.extra_layouts, not library.attends_slowly)):
            typer.echo("  make install in a checkout of localassist may compile a faster one.")
    return {
        "version": library.version,
        "features": features,
        "splits_evenly": library.splits_evenly,
        "extra_layouts": library.extra_layouts and settings.repack,
        "attends_slowly": library.attends_slowly,
    }


def _choice(named: str | None, usable: Sequence[Tier]) -> Tier:
    for tier in usable:
        if named in (None, tier):
            return tier
    raise typer.BadParameter(f"'{named}' does not hold here; these do: {', '.join(usable)}")


def _attack(server: KernelServer, chosen: Any, *, whole: bool, say: Any) -> list[Outcome]:
    from localassist.interpreter.attack_range import AttackRange
    from localassist.interpreter.attacks import ATTACKS
    from localassist.interpreter.targets import PlainTarget, SandboxTarget

    plain = chosen == "plain"
    attacks: list[Attack] = [
        each for each in ATTACKS if (whole or each.quick) and not (plain and each.ruinous)
    ]
    say(f"\nAttacks on {chosen}{'' if whole else ' (some; --attack tries all)'}:")
    bait = AttackRange()
    outcomes = []
    try:
        start = PlainTarget if plain else lambda: SandboxTarget(server, chosen)
        for outcome in bait.attack_all(start, attacks):
            outcomes.append(outcome)
            what = "OUT" if outcome.out else "held"
            known = f"  (known: {outcome.expected})" if outcome.out and outcome.expected else ""
            say(f"  {what:<5} {outcome.attack.category:<8} {outcome.attack.title}{known}")
    finally:
        bait.close()
    return outcomes


def _start_ms(server: KernelServer, tier: Tier) -> float:
    from localassist.interpreter.targets import SandboxTarget

    started = time.perf_counter()
    target = SandboxTarget(server, tier)
    took = (time.perf_counter() - started) * 1000
    target.close()
    return took


def _limits(policy: dict[str, Any]) -> str:
    mega = 1 << 20
    return (
        f"Limits: {policy['memory_bytes'] // mega:,} MB of memory, {policy['data_bytes'] // mega} "
        f"MB and {policy['inodes']:,} files in /mnt/data, {policy['limits']['NPROC']} processes, "
        "120 s a cell, no network"
    )
