"""A preview shows what a backbone would be fed, with any tokenizer and in every stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.corpus.mixing import CandidateMix
from clara_lightning.data.modules import InstructDataModule, QADataModule, SCPDataModule
from clara_lightning.data.prompts import IGNORED, PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.modules.compressor import SalientCompressor
from clara_lightning.modules.joint import JointRAGModule
from clara_lightning.modules.preview import Preview, preview
from clara_lightning.objectives.estimators import Contrastive

SIZES: dict[str, Any] = {"memory_tokens": 4, "document_tokens": 32}  # as the tiny backbone
STAGES: dict[str, Callable[[Any, int], tuple[Any, Any]]] = {
    "pretraining": lambda files, size: (SalientCompressor(**SIZES), SCPDataModule(str(files.scp), batch_size=size)),
    "instruction": lambda files, size: (
        SalientCompressor(**SIZES),
        InstructDataModule(str(files.questions), batch_size=size, documents_per_question=3),
    ),
    "joint": lambda files, size: (
        JointRAGModule(**SIZES, top_k=2),
        QADataModule(str(files.questions), batch_size=size),
    ),
}
CHATS = ("system", "no_system", "none")


def previewed(parts: tuple[Any, Any], tokenizer: Any, *, rows: int = 4, epoch: int = 0) -> Preview:
    module, data = parts
    data.setup("fit")
    module.take_data(data, speaks=False)
    return preview(module, data, tokenizer, rows=rows, epoch=epoch)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("stage", STAGES)
def test_tokens_are_those_that_a_backbone_reads_and_is_fed(
    stage: str, chat: Any, bos: bool, files: Any, tiny_backbone: Callable[..., ClaraBackbone]
) -> None:
    backbone = tiny_backbone(chat=chat, bos=bos, fresh=True)
    module, data = STAGES[stage](files, 2)

    found = previewed((module, data), backbone.tokenizer)

    loader = data.train_dataloader()
    batches = [loader.batch(n, epoch=0, order=loader.order(0)) for n in range(2)]
    module.backbone = backbone
    fed = [backbone.prompts.encode([prompt]) for batch in batches for prompt in module.requests(batch)]
    for shown, row in zip(found.examples, fed, strict=True):
        assert list(shown.ids) == row.ids[0].tolist()
        assert list(shown.slots) == row.slots[0].tolist()
        assert list(shown.labels) == row.labels[0].tolist()
    examples = [example for batch in batches for example in batch]
    for shown, example in zip(found.examples, examples, strict=True):
        texts = [p.content for p in example.passages] if stage == "joint" else example.documents
        tokens = backbone.tokenize(texts)
        assert [list(each.ids) for each in shown.documents] == [tokens.of(n) for n in range(len(texts))]
        assert sum(bool(each.cut_ids) for each in shown.documents) == tokens.num_cut
        assert (shown.query is not None) == (stage == "joint")
        if shown.query is not None:
            assert list(shown.query.ids) == backbone.tokenize([example.question]).of(0)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("stage", STAGES)
def test_pieces_and_counts_are_those_of_the_tokens(stage: str, chat: Any, files: Any, tiny_tokenizer: Any) -> None:
    tokenizer = tiny_tokenizer(chat=chat)

    found = previewed(STAGES[stage](files, 4), tokenizer)

    for shown in found.examples:
        assert sum(piece.tokens for piece in shown.pieces) == len(shown.ids)
        memory = [piece.tokens for piece in shown.pieces if piece.kind == "memory"]
        assert memory == [4] * (2 if stage == "joint" else len(shown.documents))
        labels = [label for label in shown.labels if label != IGNORED]
        assert [p.text for p in shown.pieces if p.kind == "label"] == [tokenizer.decode(labels)]
        assert shown.counts.memory == sum(memory) and shown.counts.label == len(labels)
        assert shown.counts.prompt + shown.counts.label == len(shown.ids)
        read = sum(len(each.ids) for each in shown.documents)
        assert (shown.counts.document, shown.counts.compression) == (read, read / (4 * len(shown.documents)))
        for each in shown.documents:
            kept = [piece for piece in each.pieces if piece.kind == "text"]
            assert [piece.text for piece in kept] == [tokenizer.decode(list(each.ids))]
            assert "".join(piece.text for piece in each.pieces) == tokenizer.decode([*each.ids, *each.cut_ids])


def test_memories_without_a_separator_are_told_apart(files: Any, tiny_tokenizer: Any) -> None:
    module = JointRAGModule(**SIZES, top_k=3, prompt=PromptTemplate(separator=""))

    found = previewed((module, QADataModule(str(files.questions))), tiny_tokenizer(), rows=1)

    assert [piece.tokens for piece in found.examples[0].pieces if piece.kind == "memory"] == [4, 4, 4]


def test_the_words_of_a_recital_are_not_known_without_a_compressor(files: Any, tiny_tokenizer: Any) -> None:
    data = SCPDataModule(str(files.scp), pair_share=1e-9, all_pairs_share=0, paraphrase_share=0, recital_share=1)

    (shown,) = previewed((SalientCompressor(**SIZES), data), tiny_tokenizer(), rows=1).examples

    assert shown.task == "recital"
    assert next(p.text for p in shown.pieces if p.kind == "label").startswith("(the words that the memory")


def test_another_epoch_takes_other_examples_and_the_same_one_the_same(files: Any, tiny_tokenizer: Any) -> None:
    first, again, other = (
        previewed(STAGES["pretraining"](files, 2), tiny_tokenizer(), epoch=epoch).examples for epoch in (0, 0, 3)
    )

    assert first == again != other


def test_more_rows_than_an_epoch_has_are_all_there_are(files: Any, tiny_tokenizer: Any) -> None:
    found = previewed(STAGES["instruction"](files, 3), tiny_tokenizer(), rows=100)

    assert len(found.examples) == found.in_epoch == 6  # 8 questions: the last batch would not be whole


def test_documents_that_are_searched_for_are_not_shown(
    files: Any, tiny_tokenizer: Any, store: Path, compressor: Path
) -> None:
    module = JointRAGModule(init_from=str(compressor), store=str(store), candidates=CandidateMix(search=1), top_k=2)

    found = previewed((module, QADataModule(str(files.questions))), tiny_tokenizer(), rows=1)

    assert found.examples[0].documents == () and found.examples[0].counts.compression is None
    assert found.notes == ("the documents are 20 of the store, by search, anew at each step",)


def test_contrastive_training_is_said_to_feed_no_prompt(files: Any, tiny_tokenizer: Any) -> None:
    module = JointRAGModule(**SIZES, top_k=2, train_generator=False, estimators=[Contrastive()])

    (note,) = previewed((module, QADataModule(str(files.questions))), tiny_tokenizer(), rows=1).notes

    assert note == "training reads no answer from what was taken: these prompts are those of a validation"


def test_json_holds_tokens_and_no_letters(files: Any, tiny_tokenizer: Any) -> None:
    (shown,) = previewed(STAGES["joint"](files, 2), tiny_tokenizer(), rows=1).examples

    values = json.loads(json.dumps(shown.to_json()))

    assert values.keys() == {"task", "documents", "query", "ids", "slots", "labels", "counts"}
    assert values["documents"][0].keys() == values["query"].keys() == {"ids", "cut_ids", "gold"}
    assert values["ids"] == list(shown.ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rows": 0}, "--rows must be >= 1, got 0"), ({"epoch": -1}, "--epoch must be >= 0, got -1")],
)
def test_options_that_are_wrong(options: dict[str, int], message: str, files: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(ClaraError, match=message):
        previewed(STAGES["pretraining"](files, 2), tiny_tokenizer(), **options)
