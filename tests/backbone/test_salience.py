"""The learned choice of words: it keeps what answers are made of, and depends on nothing but the text."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import MEMORY_FILE, AdapterFolder, load_tensors
from clara_lightning.backbone.salience import WordScorer, WordsRead, asked_share
from clara_lightning.backbone.words import Words
from clara_lightning.errors import ClaraError

ASKED, OTHERS = "xz", "abcdefghijklmnopqrst"


def rows() -> list[tuple[str, str]]:
    """Documents of nine letters, each of which answers with its x or z; these are less rare than the others."""
    draw = random.Random(0)
    found = []
    for _ in range(48):
        answer = draw.choice(ASKED)
        letters = [answer, *draw.sample(OTHERS, 8)]
        draw.shuffle(letters)
        found.append((" ".join(letters), answer))
    return found


def calibrated(tiny_backbone: Callable[..., ClaraBackbone], kind: str, **settings: Any) -> ClaraBackbone:
    backbone = tiny_backbone(kind=kind, fresh=True, **settings)
    backbone.calibrate([document for document, _ in rows()], ["which a ?"], rows())
    return backbone


def test_keeps_the_words_that_answers_are_made_of(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    held = {}
    for kind in ("words", "learned"):
        backbone = calibrated(tiny_backbone, kind, tokens=4)
        kept = [set(text.split()) for text in backbone.standing_words([document for document, _ in rows()])]
        held[kind] = sum(answer in words for words, (_, answer) in zip(kept, rows(), strict=True))
    assert held["learned"] == len(rows())
    assert held["words"] < len(rows()) / 2


def test_choice_is_the_same_every_time(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    one, other = (calibrated(tiny_backbone, "learned").head(COMPRESSOR).state_dict() for _ in range(2))
    for name, value in one.items():
        if name.startswith("scorer"):
            torch.testing.assert_close(other[name], value, rtol=0, atol=0, msg=name)


def test_choice_does_not_depend_on_the_batch(tiny_backbone: Callable[..., ClaraBackbone], documents: list[str]) -> None:
    backbone = calibrated(tiny_backbone, "learned")
    together = backbone.standing_tokens(documents)
    assert together == [backbone.standing_tokens([document])[0] for document in documents]


def test_questions_stand_on_their_rarest_words(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    names = (COMPRESSOR, GENERATOR, QUERY_REASONER)
    backbone = calibrated(tiny_backbone, "learned", adapters=names)
    backbone.start_query_reasoner()
    of_words = calibrated(tiny_backbone, "words", adapters=names)
    of_words.start_query_reasoner()
    head, like = backbone.head(QUERY_REASONER), of_words.head(QUERY_REASONER)
    assert head.scorer is None
    tokens = backbone.tokenize(["which city stands on the river ?"])
    assert torch.equal(head.choice(tokens.ids_NT, tokens.words), like.choice(tokens.ids_NT, tokens.words))


def test_what_is_alike_in_all_training_documents_tells_nothing() -> None:
    def read(numbers: Sequence[int], rarity: float = 1.0) -> WordsRead:
        embedded = [torch.randn(9, 4, generator=torch.Generator().manual_seed(number)) for number in numbers]
        bucket_NT, every_NT = torch.arange(9).expand(len(numbers), 9), torch.ones(len(numbers), 9, dtype=torch.bool)
        words = Words(bucket_NT, ~every_NT, every_NT, torch.zeros_like(bucket_NT))
        return WordsRead(torch.stack(embedded), words, torch.full(every_NT.shape, rarity), every_NT)

    scorer = WordScorer(4)
    scorer.fit(read, [{number % 9: 1.0} for number in range(32)])
    logit_NT = scorer(read(range(4))).logit_NT
    assert logit_NT.std() > 0.1
    assert torch.equal(scorer(read(range(4), rarity=3.0)).logit_NT, logit_NT)


def test_few_documents_are_read_fifty_times_at_most() -> None:
    calls: list[Sequence[int]] = []

    def read(numbers: Sequence[int]) -> WordsRead:
        calls.append(numbers)
        bucket_NT, every_NT = torch.arange(9).expand(len(numbers), 9), torch.ones(len(numbers), 9, dtype=torch.bool)
        words = Words(bucket_NT, ~every_NT, every_NT, torch.zeros_like(bucket_NT))
        return WordsRead(torch.randn(len(numbers), 9, 4), words, torch.ones(every_NT.shape), every_NT)

    WordScorer(4).fit(read, [{0: 1.0}] * 32)
    assert len(calls) == 2 + 50 * 2  # two batches to measure the features


def test_no_gradient_reaches_the_choice(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = calibrated(tiny_backbone, "learned")
    backbone.train_only((COMPRESSOR,))
    assert not any("scorer" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("answers", [(), [("a text", "a b c d e f g h i j k l m")]], ids=["none", "a long one"])
def test_without_short_answers_it_says_so(
    answers: Sequence[tuple[str, str]], tiny_backbone: Callable[..., ClaraBackbone]
) -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.memory must not be learned where no training document"):
        tiny_backbone(kind="learned", fresh=True).calibrate(["a text"], ["a question ?"], answers)


def test_share_of_questions_that_a_word_answers() -> None:
    retelling = list(range(100, 120))
    assert asked_share([[1, 2], [2, 2, 3], retelling]) == {1: 0.5, 2: 1.0, 3: 0.5}
    assert asked_share([retelling]) == {}


def test_carries_across_stages(clara: Any, commands: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    step = ("--trainer.max_steps", 1)
    assert clara(*commands.fit_compressor(first, "--model.memory", "learned", *step)).code == 0
    assert clara(*commands.fit_joint(second, first / "adapters", *step)).code == 0
    kept, taken = (load_tensors(run / "adapters" / MEMORY_FILE) for run in (first, second))
    scorer = [name for name in kept if ".scorer." in name]
    assert scorer
    for name in scorer:
        assert torch.equal(kept[name], taken[name])
    assert AdapterFolder.open(second).memory.kind == "learned"
