"""The folder of a run belongs to one process and to what it was begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.folder import WorkFolder, fingerprint_of

IDENTITY = {"teacher": {"model": "m", "sampling": {"temperature": 0.0}}, "pipeline": {"max_rounds": 10}}


def test_a_run_goes_on_with_what_it_was_begun_with(tmp_path: Path) -> None:
    for _ in range(2):
        folder = WorkFolder(str(tmp_path / "scp.jsonl"))
        assert folder.begin(IDENTITY) == fingerprint_of(IDENTITY)
        folder.close()


def test_another_setting_is_refused_by_name(tmp_path: Path) -> None:
    folder = WorkFolder(str(tmp_path / "scp.jsonl"))
    folder.begin(IDENTITY)
    other = {**IDENTITY, "teacher": {"model": "m", "sampling": {"temperature": 0.7}}}
    with pytest.raises(ClaraError, match=r"scp.jsonl was begun with teacher.sampling.temperature 0.0, now 0.7"):
        folder.begin(other)


def test_a_second_process_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    first = WorkFolder(str(tmp_path / "scp.jsonl"))
    with pytest.raises(ClaraError, match="another clara synthesize is at work on it"):
        WorkFolder(str(tmp_path / "scp.jsonl"))
    first.close()
    WorkFolder(str(tmp_path / "scp.jsonl")).close()


@pytest.mark.parametrize("name", ["scp", "scp.json", "scp.parquet"])
def test_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ClaraError, match=r"expected the name of a file that ends in .jsonl"):
        WorkFolder(str(tmp_path / name))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ClaraError, match="cannot be written: Not a directory"):
        WorkFolder(str(tmp_path / "file" / "scp.jsonl"))
