"""Near duplicates are those that exact similarity calls so, and the first of them stays."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.duplicates import Repeats, Sketches, bands, find_repeats
from clara_lightning.synthesis.ngrams import hashes

Text = list[str]
VOCABULARY = [f"w{number}" for number in range(500)]


def random_text(draw: random.Random, length: int) -> Text:
    return [draw.choice(VOCABULARY) for _ in range(length)]


def edited(draw: random.Random, text: Text, num_edits: int) -> Text:
    """The text with some words replaced, left out or put in."""
    new = list(text)
    for _ in range(num_edits):
        start = draw.randrange(len(new))
        new[start : start + draw.randint(0, 1)] = random_text(draw, draw.randint(0, 1))
    return new


def shingles(text: Text, length: int = 3) -> set[tuple[str, ...]]:
    return {tuple(text[start : start + length]) for start in range(max(1, len(text) - length + 1))}


def jaccard(text: Text, other: Text) -> float:
    ours, theirs = shingles(text), shingles(other)
    return len(ours & theirs) / len(ours | theirs)


def repeats_of(
    texts: Sequence[Text], folder: Path, *, threshold: float = 0.8, batch_size: int = 512, rows: Sequence[int] = ()
) -> Repeats:
    sketches = Sketches(folder, batch_size=batch_size)
    for text in texts:
        sketches.add(text, hashes(text))
    assert len(sketches) == len(texts)
    return find_repeats(sketches.rows(), rows=np.array(rows or range(len(texts)), dtype=np.int64), threshold=threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.85])
def test_pairs_are_found_as_exact_similarity_says(tmp_path: Path, threshold: float) -> None:
    draw = random.Random(1)
    pairs = []
    for _ in range(600):
        text = random_text(draw, draw.randint(20, 120))
        pairs.append((text, edited(draw, text, draw.randint(0, 12))))
    exact = [jaccard(*pair) for pair in pairs]

    earlier = repeats_of([text for pair in pairs for text in pair], tmp_path, threshold=threshold).earlier

    found = [bool(earlier[2 * number + 1] == 2 * number) for number in range(len(pairs))]
    alike = [was_found for was_found, similarity in zip(found, exact, strict=True) if similarity > threshold + 0.1]
    unlike = [was_found for was_found, similarity in zip(found, exact, strict=True) if similarity < threshold - 0.15]
    assert len(alike) > 15 and all(alike)
    assert len(unlike) > 15 and not any(unlike)
    assert (earlier[::2] == -1).all()


def test_the_similarity_is_about_the_exact_one(tmp_path: Path) -> None:
    draw = random.Random(2)
    text = random_text(draw, 100)
    other = edited(draw, text, 2)

    repeats = repeats_of([text, other], tmp_path)

    assert repeats.similarity.tolist() == [0, pytest.approx(jaccard(text, other), abs=0.08)]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_answer_does_not_depend_on_the_batch(tmp_path: Path, batch_size: int) -> None:
    draw = random.Random(3)
    texts = [random_text(draw, 40) for _ in range(30)]
    texts += [edited(draw, draw.choice(texts), draw.randint(0, 6)) for _ in range(70)]

    repeats, other = repeats_of(texts, tmp_path), repeats_of(texts, tmp_path, batch_size=batch_size)

    assert repeats.earlier.tolist() == other.earlier.tolist()
    assert repeats.similarity.tolist() == other.similarity.tolist()


def test_more_texts_change_nothing_for_those_before_them(tmp_path: Path) -> None:
    draw = random.Random(4)
    texts = [random_text(draw, 40) for _ in range(20)]
    texts += [edited(draw, draw.choice(texts), draw.randint(0, 4)) for _ in range(80)]

    assert repeats_of(texts, tmp_path).earlier[:50].tolist() == repeats_of(texts[:50], tmp_path).earlier.tolist()


def test_a_repeat_of_a_repeat_alone_is_kept(tmp_path: Path) -> None:
    first = [f"w{number}" for number in range(100)]
    second = [f"x{number}" for number in range(8)] + first[8:]  # similarity 0.85 to both, and 0.73 between these
    third = [f"x{number}" for number in range(8)] + first[8:92] + [f"y{number}" for number in range(8)]
    assert jaccard(first, second) > 0.82 < jaccard(second, third) and jaccard(first, third) < 0.76

    assert repeats_of([first, second, third], tmp_path).earlier.tolist() == [-1, 0, -1]


def test_of_many_copies_the_first_stays(tmp_path: Path) -> None:
    text, other = random_text(random.Random(5), 30), random_text(random.Random(6), 30)

    assert repeats_of([text] * 300 + [other] * 300, tmp_path).earlier.tolist() == [-1] + [0] * 299 + [-1] + [300] * 299


def test_the_most_similar_one_is_named(tmp_path: Path) -> None:
    text = [f"w{number}" for number in range(200)]
    far = [f"x{number}" for number in range(12)] + text[12:]
    near = text[:-7] + [f"y{number}" for number in range(7)]
    assert jaccard(far, near) < 0.83 < 0.87 < jaccard(text, far) < 0.9 < jaccard(text, near)

    assert repeats_of([far, near, text], tmp_path, threshold=0.85).earlier.tolist() == [-1, -1, 1]


def test_texts_that_do_not_matter_are_passed_by(tmp_path: Path) -> None:
    text = random_text(random.Random(7), 30)

    repeats = repeats_of([text, random_text(random.Random(8), 30), text, text], tmp_path, rows=[1, 2, 3])

    assert repeats.earlier.tolist() == [-1, -1, 1]


def test_order_and_number_of_equal_runs_do_not_matter_but_words_do(tmp_path: Path) -> None:
    poem = "a b c d e f g h".split()

    assert repeats_of([poem, poem * 3], tmp_path, threshold=0.5).earlier.tolist() == [-1, 0]
    assert repeats_of([poem, poem[::-1]], tmp_path, threshold=0.1).earlier.tolist() == [-1, -1]


def test_with_the_threshold_one_only_equal_sets_are_repeats(tmp_path: Path) -> None:
    text = random_text(random.Random(9), 300)

    assert repeats_of([text, text[:-20], text], tmp_path, threshold=1).earlier.tolist() == [-1, -1, 0]


def test_short_texts_are_compared_as_a_whole(tmp_path: Path) -> None:
    assert repeats_of([["a"], ["a", "b"], ["a", "b"], ["a"], ["b", "a"]], tmp_path).earlier.tolist() == [
        -1,
        -1,
        1,
        0,
        -1,
    ]


def test_a_script_without_spaces_is_compared_by_five_characters(tmp_path: Path) -> None:
    draw = random.Random(10)
    text = [chr(0x4E00 + draw.randrange(3000)) for _ in range(150)]
    other = text[:75] + ["好"] + text[76:]
    half = text[:75] + [chr(0x4E00 + draw.randrange(3000)) for _ in range(75)]

    repeats = repeats_of([text, other, half], tmp_path)

    assert repeats.earlier.tolist() == [-1, 0, -1]
    assert repeats.similarity[1] == pytest.approx(141 / 151, abs=0.05)


def test_no_texts_have_no_repeats(tmp_path: Path) -> None:
    assert repeats_of([], tmp_path).earlier.tolist() == []


@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_most_pairs_at_the_threshold_and_are_as_wide_as_they_can_be(threshold: float) -> None:
    def recall(num_bands: int, slots: int) -> float:
        return 1 - (1 - threshold**slots) ** num_bands

    num_bands, slots = bands(threshold)

    assert num_bands * slots <= 128
    assert slots == 1 or recall(num_bands, slots) >= 0.9
    assert all(recall(128 // wider, wider) < 0.9 for wider in range(slots + 1, 129))


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "clara_lightning.synthesis.duplicates.TemporaryFile",
        lambda dir: open("/dev/full", "r+b", buffering=0),  # noqa: SIM115
    )
    sketches = Sketches(tmp_path, batch_size=1)

    with pytest.raises(ClaraError, match=r": cannot be written: No space left on device$"):
        sketches.add(["a"], hashes(["a"]))
    sketches.close()
