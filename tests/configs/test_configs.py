"""Every file under ``configs/`` through the command line's own parser: settings exist, overlays touch nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from clara_lightning.cli.main import main
from clara_lightning.objectives.estimators import DEFAULT

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = dict.fromkeys(("compressor", "published", "instruct", "retrieval", "joint"), "fit") | {"encode": "predict"}
OVERLAYS = sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.glob("*/*.yaml"))
Settings = dict[tuple[str, ...], Any]


def load(name: str) -> Any:
    """The content of a file under ``configs/``."""
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Settings:
    """Every single setting of a nested configuration; a list of groups counts them."""
    if isinstance(tree, list) and any(isinstance(each, dict) for each in tree):
        tree = {str(number): each for number, each in enumerate(tree)}
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {key: value for name, branch in tree.items() for key, value in leaves(branch, (*path, name)).items()}


def class_paths(tree: Any) -> Iterator[str]:
    """Every class that a configuration names."""
    return (value for path, value in leaves(tree).items() if path[-1] == "class_path")


def resolve(name: str) -> Any:
    """The class behind a class path."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


@cache
def parsed(stage: str, *names: str) -> Settings:
    """All settings after ``clara VERB --config ... --print_config``."""
    options = [word for name in names for word in ("--config", str(CONFIGS / f"{name}.yaml"))]
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as end:
        main([STAGES[stage], *options, "--print_config"])
    assert end.value.code in (0, None)
    return leaves(yaml.safe_load(printed.getvalue()))


def test_there_is_a_file_for_every_stage() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_file_says_what_it_says(stage: str) -> None:
    assert leaves(load(stage)).items() <= parsed(stage, stage).items()


def test_stage_3_names_the_estimators_that_it_has_without_a_name() -> None:
    named = load("joint")["model"]["init_args"]["estimators"]
    assert tuple(resolve(each["class_path"])(**each["init_args"]) for each in named) == DEFAULT


@pytest.mark.parametrize("name", [*STAGES, *OVERLAYS])
def test_every_class_that_is_named_can_be_imported(name: str) -> None:
    assert all(isinstance(resolve(path), type) for path in class_paths(load(name)))


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_an_overlay_changes_what_it_names_and_nothing_else(stage: str, overlay: str) -> None:
    # A strategy that is a class brings its own settings in the place of the word "auto".
    named = leaves(load(overlay))
    before, after = parsed(stage, stage), parsed(stage, stage, overlay)
    own = {path for path in before.keys() | after.keys() if path[:2] == ("trainer", "strategy")} | named.keys()
    assert named.items() <= after.items()
    assert {k: v for k, v in after.items() if k not in own} == {k: v for k, v in before.items() if k not in own}


def test_overlays_may_stand_in_any_order_behind_the_stage() -> None:
    overlays = ["backbone/phi-4-mini", "hardware/ddp"]
    assert parsed("joint", "joint", *overlays) == parsed("joint", "joint", *reversed(overlays))


@pytest.mark.parametrize("room", ["backbone", "hardware"])
def test_the_last_of_several_overlays_decides_alone(room: str) -> None:
    for last in (name for name in OVERLAYS if name.startswith(room)):
        others = [name for name in OVERLAYS if name.startswith(room) and name != last]
        assert parsed("compressor", "compressor", *others, last) == parsed("compressor", "compressor", last)


@pytest.mark.parametrize("name", [*STAGES, *OVERLAYS])
def test_no_file_names_a_path_of_one_machine(name: str) -> None:
    texts = [value for value in leaves(load(name)).values() if isinstance(value, str)]
    assert not [text for text in texts if text.startswith(("/", "~"))]


@pytest.mark.parametrize("name", [*STAGES, *OVERLAYS])
def test_every_file_says_how_it_is_launched(name: str) -> None:
    head = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").partition("\nmodel:")[0]
    assert "needs" in head
    assert f"clara {STAGES.get(name, 'fit')} --config configs/" in head
    assert f"configs/{name}.yaml" in head


@pytest.mark.parametrize("script", sorted(path.name for path in (CONFIGS / "launch").glob("*.sh")))
def test_a_launch_script_is_valid_shell(script: str) -> None:
    subprocess.run(["bash", "-n", str(CONFIGS / "launch" / script)], check=True)


def test_the_torchrun_script_trains_on_two_processes(commands: Any, tmp_path: Path) -> None:
    _, *options = commands.fit_compressor(tmp_path / "run", "--trainer.max_steps", 1, "--data.batch_size", 2)
    here = {"DEVICES": "2", "PORT": "29517", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONFIGS.parent / "src")}
    folder = str(Path(sys.executable).parent)

    done = subprocess.run(
        ["bash", str(CONFIGS / "launch" / "torchrun.sh"), "1", "0", "localhost", *map(str, options)],
        env=os.environ | here | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load((tmp_path / "run" / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["devices"] == "2 x cpu, DDPStrategy"
