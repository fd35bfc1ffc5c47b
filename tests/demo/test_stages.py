"""Steps that leave a stamp: what is kept, what is made anew, what an interrupted call leaves."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from clara_lightning.demo.stages import Stage, run_stages
from clara_lightning.errors import ClaraError


class Work:
    """Two steps, the second upon the first, that note when they run."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.done: list[str] = []
        self.fails = False

    def stages(self, *, first: str = "made of this", resumes: bool = False) -> list[Stage]:
        return [
            Stage("One", self.out / "one", (first,), lambda: self._do("one")),
            Stage("Two", self.out / "two", ("always the same",), lambda: self._do("two"), resumes=resumes),
        ]

    def _do(self, name: str) -> None:
        self.done.append(name)
        (self.out / name).mkdir(exist_ok=True)
        (self.out / name / str(len(self.done))).touch()
        if name == "two" and self.fails:
            raise ClaraError("two has failed")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def run(work: Work, *, speaks_of_kept: bool = True, **options: object) -> str:
    console = Console(record=True, file=io.StringIO())
    run_stages(work.stages(**options), console, speaks_of_kept=speaks_of_kept)  # type: ignore[arg-type]
    return console.export_text()


def test_what_is_unchanged_is_kept_and_said_where_that_is_asked_for(work: Work) -> None:
    assert "1. One" in run(work)
    again = run(work)
    assert work.done == ["one", "two"]
    assert again.count("unchanged, kept") == 2
    assert run(work, speaks_of_kept=False) == ""


def test_a_folder_that_was_deleted_is_made_again(work: Work) -> None:
    run(work)
    (work.out / "two" / "2").unlink()
    (work.out / "two").rmdir()
    run(work)
    assert work.done == ["one", "two", "two"]


def test_another_first_step_makes_the_second_anew_from_an_empty_folder(work: Work) -> None:
    run(work)
    run(work, first="made of that")
    assert work.done == ["one", "two", "one", "two"]
    assert [path.name for path in (work.out / "two").iterdir()] == ["4"]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_failed_step_is_run_again_with_what_it_left_only_where_it_can_go_on(work: Work, resumes: bool) -> None:
    work.fails = True
    with pytest.raises(ClaraError, match="two has failed"):
        run(work, resumes=resumes)
    work.fails = False
    run(work, resumes=resumes)
    assert work.done == ["one", "two", "two"]
    assert sorted(path.name for path in (work.out / "two").iterdir()) == (["2", "3"] if resumes else ["3"])


def test_a_command_that_fails_is_named_and_its_output_does_not_reach_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stages = [Stage("Ask", tmp_path / "ask", ("ask", "What?", "--adapters", str(tmp_path / "nowhere")))]
    with pytest.raises(ClaraError, match="a step failed with exit code 2: clara ask"):
        run_stages(stages, Console(stderr=True))
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "--store is required with --adapters" in shown.err
