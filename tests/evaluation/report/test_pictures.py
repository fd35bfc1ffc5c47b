"""Pictures: there where there is data, with every number in words too, nothing cut at an edge."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clara_lightning.evaluation.report import canvas
from clara_lightning.evaluation.report.bars import answers_picture
from clara_lightning.evaluation.report.curves import compression_picture, recall_picture
from clara_lightning.evaluation.report.pictures import NAMES, pictures

NAN = (math.nan,) * 3
LONG = "a label that is much longer than any picture is wide, $x_1 and more words and <b> still more of them " * 2


def test_all_are_there_where_there_is_data_for_all(evaluated: Any) -> None:
    assert tuple(evaluated.drawn()) == NAMES


def test_those_of_search_are_missing_where_there_was_no_search(evaluated: Any) -> None:
    found = evaluated.without_search().drawn()
    assert set(found) == {"answers_f1", "answers_cross_entropy", "compression"}


def test_compression_needs_two_forms_to_compare(evaluated: Any) -> None:
    one = evaluated.without("gold_text", "backbone_gold_text", "backbone_gold_tokens")
    assert compression_picture(one.results) is None


def test_a_figure_that_is_not_defined_is_left_out_and_an_interval_may_be_missing(evaluated: Any) -> None:
    changed = evaluated.answering("gold_text", f1=NAN).answering("gold_memory", f1=(0.4, math.nan, math.nan))
    found = answers_picture(changed.results, figure="f1", title="F1")
    assert found is not None and "gold memory 0.400; retrieved memory" in found.alt


def test_an_interval_that_does_not_hold_its_value_is_drawn(evaluated: Any) -> None:
    changed = evaluated.answering("gold_text", f1=(0.4, 0.45, 0.5))
    assert answers_picture(changed.results, figure="f1", title="F1") is not None


def test_a_scale_or_a_curve_may_be_missing(evaluated: Any) -> None:
    curves = {"corpus": {"clara": [0.5, 0.75], "bm25": []}, "candidates": {}}
    found = recall_picture(replace(evaluated.results, recall_curves=curves))
    assert found is not None and found.alt.endswith("whole corpus, CLaRa: 0.500 at 1, 0.750 at 2.")


def test_losses_are_told_in_words(evaluated: Any) -> None:
    alt = evaluated.drawn()["losses"].alt
    assert "retrieved memory (Normal): found, answered 0.300, found, wrong 0.400, missed, answered 0.030" in alt


@pytest.mark.parametrize("text", [None, LONG])
@pytest.mark.filterwarnings("error")
def test_nothing_is_cut_at_an_edge(evaluated: Any, text: str | None) -> None:
    data = evaluated if text is None else evaluated.with_text(text)
    for picture in data.drawn().values():
        pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("L"))
        edges = np.concatenate([pixels[:4].ravel(), pixels[-4:].ravel(), pixels[:, :4].ravel(), pixels[:, -4:].ravel()])
        assert (edges == 255).all(), picture.name


def test_readers_differ_without_colour(evaluated: Any) -> None:
    # One reader's bars are of one grey and an edge; the other's are of two, because of their pattern.
    def greys(reader: str) -> int:
        conditions = {name: replace(info, reader=reader) for name, info in evaluated.results.conditions.items()}
        found = answers_picture(replace(evaluated.results, conditions=conditions), figure="f1", title="F1")
        assert found is not None
        return len(np.unique(np.asarray(Image.open(io.BytesIO(found.png)).convert("L"))[:, 60:70]))

    assert greys("backbone") > greys("generator")


def test_the_same_data_make_the_same_bytes(evaluated: Any) -> None:
    assert pictures(evaluated.results) == evaluated.drawn()


def test_pyplot_with_its_state_for_the_whole_process_is_not_used() -> None:
    assert not [path for path in Path(canvas.__file__).parent.glob("*.py") if "pyplot" in path.read_text()]
