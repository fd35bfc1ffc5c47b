"""Strings on the disk come back as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.spool import Spool

STRINGS = ["one", "", "尼罗河", "a\nb\0c", "\udce9.txt"]


def test_strings_come_back_in_any_order_and_between_new_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for index, string in enumerate(STRINGS):
        spool.append(string)
        assert spool[index] == string

    assert [spool[index] for index in (4, 2, 0, 1, 3)] == [STRINGS[index] for index in (4, 2, 0, 1, 3)]
    assert list(spool) == STRINGS
    assert len(spool) == 5


def test_its_file_is_not_seen(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append("one")

    assert os.listdir(tmp_path) == []
    spool.close()


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clara_lightning.synthesis.spool.TemporaryFile", lambda dir: open("/dev/full", "r+b"))  # noqa: SIM115
    spool = Spool(tmp_path)
    spool.append("one")

    with pytest.raises(ClaraError, match=r": cannot be written: No space left on device$"):
        spool[0]
    spool.close()
