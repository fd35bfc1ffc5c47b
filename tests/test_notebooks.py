"""The notebooks as they are committed, and what they share; ``make test-slow`` runs them."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import clara_lightning
from clara_lightning.cli.trainer import parse_settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ABSOLUTE = re.compile(r"""(?:^|[\s"'(=`])(?:/\w|~/|[A-Za-z]:\\)""", re.MULTILINE)


def notebook(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def code(path: Path) -> list[ast.Module]:
    """Its cells of Python; a cell that begins with %% is a file to write."""
    cells = [cell for cell in notebook(path)["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    return [ast.parse(source) for source in sources if not source.startswith("%%")]


def commands(path: Path) -> list[list[str]]:
    """What it gives to ``clara``, as words."""
    calls = [node for cell in code(path) for node in ast.walk(cell) if isinstance(node, ast.Call)]
    given = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "clara"]
    return [text.value.split() for text in given if isinstance(text, ast.Constant) and isinstance(text.value, str)]


@pytest.fixture
def small_run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("small_run", FOLDER / "small_run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(FOLDER)  # where Jupyter runs them
    return module


def test_there_are_three() -> None:
    names = ["01_three_stages", "02_ask_your_documents", "03_inside_the_memory"]
    assert [path.stem for path in NOTEBOOKS] == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestEach:
    def test_is_committed_without_outputs(self, path: Path) -> None:
        cells = [cell for cell in notebook(path)["cells"] if cell["cell_type"] == "code"]
        assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)

    def test_names_no_path_of_one_machine(self, path: Path) -> None:
        sources = "\n".join("".join(cell["source"]) for cell in notebook(path)["cells"])
        assert ABSOLUTE.findall(sources) == []

    def test_runs_on_the_kernel_that_every_jupyter_has(self, path: Path) -> None:
        assert notebook(path)["metadata"]["kernelspec"]["name"] == "python3"

    def test_is_in_the_readme(self, path: Path) -> None:
        assert f"notebooks/{path.name}" in (ROOT / "README.md").read_text(encoding="utf-8")

    def test_takes_public_names_alone(self, path: Path) -> None:
        imports = [node for cell in code(path) for node in ast.walk(cell) if isinstance(node, ast.ImportFrom)]
        ours = [node for node in imports if str(node.module).startswith("clara_lightning")]
        assert ours and all(node.module == "clara_lightning" for node in ours)
        assert {alias.name for node in ours for alias in node.names} <= set(clara_lightning.__all__)


def test_the_first_notebook_shows_the_commands_that_the_others_fall_back_on(small_run: ModuleType) -> None:
    shared = [small_run.SYNTHESIZE, small_run.COMPRESS, small_run.ENCODE, small_run.JOINT]
    assert commands(FOLDER / "01_three_stages.ipynb")[:4] == [command.split() for command in shared]


@pytest.mark.parametrize("name", ["COMPRESS", "JOINT"])
def test_the_settings_of_the_small_run_are_known(small_run: ModuleType, name: str) -> None:
    verb, *settings = getattr(small_run, name).split()
    assert verb == "fit"
    assert parse_settings(settings)["trainer"]["default_root_dir"].startswith("runs/")


def test_a_command_shows_what_it_prints(small_run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    small_run.clara("--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_command_that_fails_stops_the_notebook(small_run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="clara convert failed with exit code 2"):
        small_run.clara("convert --from 'no such format' in out.jsonl")
    assert "--from: no such format" in capsys.readouterr().out


class TestTrainedRun:
    @pytest.fixture
    def made(self, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
        """What was run, in a folder of notebooks where nothing is trained."""
        ran: list[str] = []
        (tmp_path / "notebooks").mkdir()
        monkeypatch.chdir(tmp_path / "notebooks")
        monkeypatch.setattr(small_run, "clara", lambda command: ran.append(command.split()[0]))
        monkeypatch.setattr(small_run, "write_demo_data", lambda folder, *, size: ran.append(f"{folder} {size}"))
        return ran

    def test_is_made_where_nothing_is_there(self, small_run: ModuleType, made: list[str]) -> None:
        assert small_run.trained_run() == Path("runs")
        assert made == ["runs/data 160", "synthesize", "fit", "predict", "fit"]

    def test_is_kept(self, small_run: ModuleType, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        Path("runs/joint/adapters").mkdir(parents=True)
        assert small_run.trained_run() == Path("runs")
        assert made == [] and "trained before" in capsys.readouterr().out

    def test_is_made_whole_after_an_interruption(self, small_run: ModuleType, made: list[str]) -> None:
        Path("runs/compressor/adapters").mkdir(parents=True)
        small_run.trained_run()
        assert made[1:] == ["synthesize", "fit", "predict", "fit"]

    @pytest.mark.parametrize(
        ("finished", "passages", "taken"),
        [(True, 595, "../demo-run"), (False, 595, "runs"), (True, 72, "runs")],
        ids=["finished", "interrupted", "fast"],
    )
    def test_is_the_demo_where_that_is_whole(
        self,
        small_run: ModuleType,
        made: list[str],
        monkeypatch: pytest.MonkeyPatch,
        finished: bool,
        passages: int,
        taken: str,
    ) -> None:
        monkeypatch.setattr(small_run.LatentStore, "open", lambda path: range(passages))
        Path("runs/joint/adapters").mkdir(parents=True)
        Path("../demo-run/report").mkdir(parents=True)
        if finished:
            Path("../demo-run/report/results.json").touch()
        assert small_run.trained_run() == Path(taken)
        assert made == []
