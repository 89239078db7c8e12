"""The rules of the layout."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = [p for folder in ("cnn_keras", "training") for p in sorted((ROOT / folder).rglob("*.py"))]
COMMANDS = [p for p in (ROOT / "training").glob("*.py") if not p.name.startswith("__")]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize(
    "path", [p for p in PRODUCT if p.parts[-2] == "cnn_keras"], ids=lambda p: p.name
)
def test_networks_know_nothing_of_training(path):
    assert not [name for name in imports(path) if name.split(".")[0] == "training"]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda p: p.name)
def test_commands_import_no_command(path):
    others = {f"training.{p.stem}" for p in COMMANDS}
    assert not others & set(imports(path))


@pytest.mark.parametrize("path", PRODUCT, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_every_command_is_a_sub_command():
    from training.__main__ import COMMANDS as NAMES

    assert {p.stem for p in COMMANDS} == NAMES.keys() - {"networks"}
