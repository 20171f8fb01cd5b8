"""The attack suite on every tier, as root and as an ordinary user, and under Docker's rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localassist.interpreter.attack_range import AttackRange
from localassist.interpreter.attacks import ATTACKS
from localassist.interpreter.targets import PlainTarget

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's"),
    pytest.mark.timeout(400),
    pytest.mark.slow,
]
USER = 61001
TESTS = Path(__file__).parents[1]


def doctor(*options, before=(), python=sys.executable):
    command = [*before, str(python), "-m", "localassist", "doctor", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.startswith("{"), done.stderr[-2000:]
    return done.returncode, json.loads(done.stdout)


def unexpected(found):
    return {each["id"]: each for each in found["attacks"] if each["out"] and not each["expected"]}


def assert_nothing_gets_out(run):
    code, found = run()
    assert unexpected(found) == {}
    assert code == 0
    return found


def assert_holds(tier, **how):
    found = assert_nothing_gets_out(lambda: doctor("--attack", "--tier", tier, **how))
    known = [each for each in found["attacks"] if each["out"] and each["expected"]]
    assert tier == "landlock" or known == []
    assert len(found["attacks"]) == len(ATTACKS)
    assert found["start_ms"] > 0
    return found


def usable(found):
    return [each["tier"] for each in found["tiers"] if each["usable"]]


@pytest.mark.parametrize("tier", ["ns", "landlock"])
def test_no_attack_gets_out_for_whoever_runs_the_tests(tier):
    assert assert_holds(tier)["tier"] == "ns"


@pytest.fixture(scope="module")
def users_python(tmp_path_factory):
    """A Python that an ordinary user can run, with the packages of this one."""
    if os.getuid() != 0:
        pytest.skip("whoever runs the tests is an ordinary user")
    system = Path("/usr/bin/python3")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shown = subprocess.run([system, "--version"], capture_output=True, text=True, check=True).stdout
    if f" {version}." not in shown or shutil.which("setpriv") is None:
        pytest.skip(f"there is no Python {version} for other users, or no setpriv")
    folder = Path("/tmp") / f"localassist-user-{os.getpid()}"
    subprocess.run([system, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "lib" / f"python{version}" / "site-packages"
    shutil.rmtree(packages)
    own = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    packages.symlink_to(own)
    home = folder / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    before = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i"]
    yield [*before, f"HOME={home}", "PATH=/usr/bin:/bin"], folder / "bin" / "python"
    shutil.rmtree(folder)


@pytest.mark.parametrize("tier", ["ns", "bwrap", "landlock"])
def test_no_attack_gets_out_for_an_ordinary_user(users_python, tier):
    before, python = users_python
    found = assert_holds(tier, before=before, python=python)
    assert usable(found) == ["ns", "bwrap", "landlock"]


def test_where_docker_forbids_namespaces_the_other_tier_is_taken():
    before = [sys.executable, str(TESTS / "docker_like.py")]
    found = assert_nothing_gets_out(lambda: doctor(before=before))
    assert found["tier"] == "landlock"
    reasons = {each["tier"]: each["reason"] for each in found["tiers"]}
    assert "namespaces may not be made" in reasons["ns"]


def test_people_are_told_what_holds_and_what_llama_uses():
    command = [sys.executable, "-m", "localassist", "doctor"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "In use: ns" in said
    assert "llama.cpp of llama-cpp-python" in said
    assert re.search(r"full speed behind long conversations +yes", said)
    _, found = doctor()
    assert f"{found['llama_cpp']['version']}: {' '.join(found['llama_cpp']['features'])}" in said
    assert found["llama_cpp"]["attends_slowly"] is False


def test_the_attacks_are_attacks():
    """On a kernel without a sandbox, at least half of them succeed."""
    harmless = [each for each in ATTACKS if not each.ruinous]
    bait = AttackRange()
    try:
        outcomes = list(bait.attack_all(PlainTarget, harmless))
    finally:
        bait.close()
    got_out = [each.attack.id for each in outcomes if each.out]
    assert len(got_out) * 2 >= len(ATTACKS), got_out


def test_the_provisioner_serves_an_unmodified_kernel_manager():
    script = """
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
manager = KernelManager()
manager._kernel_spec = KernelSpec(
    argv=["ignored"], display_name="x", language="python", interrupt_mode="message",
    metadata={"kernel_provisioner": {"provisioner_name": "localassist-sandbox"}},
)
manager.start_kernel()
client = manager.client()
client.start_channels(stdin=False, hb=False)
printed = []
def take(message):
    if message["msg_type"] == "stream":
        printed.append(message["content"]["text"])
client.execute_interactive("import os; print(os.getuid(), 6 * 7)", output_hook=take, timeout=60)
print("".join(printed).strip(), manager.is_alive())
client.stop_channels()
manager.shutdown_kernel(now=True)
print(manager.is_alive())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["1000 42 True", "False"], done.stderr[-3000:]
