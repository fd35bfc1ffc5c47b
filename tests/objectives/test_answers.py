"""Answer scores against a reimplementation with plain loops, and the edges where implementations differ."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.answers import cover_exact_match, exact_match, normalize_answer, rouge_l, token_f1

WORDS = st.lists(st.sampled_from(["Paris", "the", "A", "rome,", "é", "(1889)", "--", "an", "tower"]), max_size=6)
ANSWERS = WORDS.map(" ".join)
ALL_SCORES = [exact_match, token_f1, cover_exact_match]


def words_of(text: str) -> list[str]:
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def looped_f1(ours: list[str], theirs: list[str]) -> float:
    if not ours and not theirs:
        return 1.0
    left, hits = list(theirs), 0
    for word in ours:
        if word in left:
            left.remove(word)
            hits += 1
    if hits == 0:
        return 0.0
    precision, recall = hits / len(ours), hits / len(theirs)
    return 2 * precision * recall / (precision + recall)


def looped_cover(ours: list[str], theirs: list[str]) -> float:
    if not theirs:
        return float(not ours)
    return float(any(ours[i : i + len(theirs)] == theirs for i in range(len(ours))))


@given(ANSWERS, st.lists(ANSWERS, min_size=1, max_size=3))
def test_scores_equal_the_loops(prediction: str, references: list[str]) -> None:
    ours, theirs = words_of(prediction), [words_of(reference) for reference in references]
    assert exact_match(prediction, references=references) == float(any(ours == other for other in theirs))
    assert token_f1(prediction, references=references) == pytest.approx(max(looped_f1(ours, other) for other in theirs))
    assert cover_exact_match(prediction, references=references) == max(looped_cover(ours, other) for other in theirs)


@given(st.text(), st.text())
def test_any_text_scores_within_bounds_and_one_with_itself(prediction: str, reference: str) -> None:
    for score in ALL_SCORES:
        assert 0.0 <= score(prediction, references=[reference]) <= 1.0
        assert score(prediction, references=[prediction]) == 1.0


@given(st.text())
def test_an_exact_match_is_also_covered_and_has_full_f1(reference: str) -> None:
    prediction = f"The {reference}!"
    if exact_match(prediction, references=[reference]):
        assert (
            token_f1(prediction, references=[reference]) == cover_exact_match(prediction, references=[reference]) == 1.0
        )


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("", ""),
        ("The", ""),
        ("A an THE.", ""),
        ("theatre another", "theatre another"),
        ("U.S.A.", "usa"),
        ("rock-n-roll", "rocknroll"),
        ("tab\tand\nline", "tab and line"),
        ("Zürich, ÎLE", "zürich île"),
        ("“quoted”", "“quoted”"),  # as SQuAD's: ASCII punctuation alone
    ],
)
def test_normalisation(text: str, normalized: str) -> None:
    assert normalize_answer(text) == normalized


def test_repeated_words_count_as_often_as_they_stand() -> None:
    assert token_f1("new new york", references=["new york"]) == pytest.approx(0.8)


def test_empty_predictions_match_empty_references_alone() -> None:
    for score in ALL_SCORES:
        assert score("", references=["the"]) == 1.0
        assert score("", references=["Paris"]) == 0.0
        assert score("Paris", references=["the"]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "covered"),
    [
        ("it was Paris, I think", "Paris", True),
        ("the party", "art", False),
        ("in 1889 or so", "1889", True),
        ("in 18890", "1889", False),
        ("York New", "New York", False),
        ("new and york", "New York", False),
        ("the new the York", "New York", True),
        ("Paris", "Paris France", False),
    ],
)
def test_cover_wants_the_whole_reference_as_words_that_stand_together(
    prediction: str, reference: str, covered: bool
) -> None:
    assert cover_exact_match(prediction, references=[reference]) == float(covered)


def test_the_best_reference_counts() -> None:
    assert [score("Rome", references=["Paris", "rome"]) for score in ALL_SCORES] == [1.0, 1.0, 1.0]


def test_references_must_be_a_list_with_an_answer() -> None:
    for score in ALL_SCORES:
        with pytest.raises(ClaraError, match="at least one reference answer, got none"):
            score("Rome", references=[])
        with pytest.raises(TypeError, match="must be a list of answers, got the text 'Rome'"):
            score("Rome", references="Rome")


PIECES = ["The", "a", "Paris,", "Rome", "of", "1889", "u.s.", "river-bank", "Nile!", "an", "it's"]


@pytest.mark.parametrize("seed", range(30))
def test_em_and_f1_are_those_of_torchmetrics_squad(seed: int) -> None:
    from torchmetrics.functional.text import squad

    draw = random.Random(seed)
    prediction = " ".join(draw.choices(PIECES, k=draw.randint(1, 6)))
    references = [" ".join(draw.choices(PIECES, k=draw.randint(1, 4))) for _ in range(draw.randint(1, 3))]
    if not all(map(normalize_answer, [prediction, *references])):
        return  # with nothing left of an answer torchmetrics divides 0 by 0
    theirs = squad(
        {"prediction_text": prediction, "id": "0"},
        {"answers": {"answer_start": [0] * len(references), "text": references}, "id": "0"},
    )

    assert exact_match(prediction, references=references) == theirs["exact_match"].item() / 100
    assert token_f1(prediction, references=references) == pytest.approx(theirs["f1"].item() / 100)


def longest_common(ours: list[str], theirs: list[str]) -> int:
    """Length of the longest common subsequence, by its recursion."""
    if not ours or not theirs:
        return 0
    if ours[0] == theirs[0]:
        return 1 + longest_common(ours[1:], theirs[1:])
    return max(longest_common(ours[1:], theirs), longest_common(ours, theirs[1:]))


@pytest.mark.parametrize("seed", range(20))
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(seed: int) -> None:
    draw = random.Random(seed)
    ours, theirs = (draw.choices(["paris", "lies", "on", "the", "seine"], k=draw.randint(1, 7)) for _ in range(2))
    common = longest_common(ours, theirs)
    precision, recall = common / len(ours), common / len(theirs)
    wanted = 2 * precision * recall / (precision + recall) if common else 0.0

    assert rouge_l(" ".join(ours).upper(), reference=", ".join(theirs)) == pytest.approx(wanted, abs=1e-6)


def test_rouge_l_of_nothing_is_0() -> None:
    assert rouge_l("", reference="Paris lies on the Seine") == 0.0
