"""The data of the study: questions of one hop and of several, one corpus of all their passages, 20 candidates each.

The files are not part of the project: ``CLARA_DATA`` names the folder that holds ``train/``. What is measured on is a
sixteenth of each file and MLQA; no training question has a document of one hop that is measured on.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.recipes.split import HELD_OUT, data_folder, is_held_out
from clara_lightning.corpus.lexical import LexicalIndex
from clara_lightning.corpus.manifest import write_json
from clara_lightning.corpus.mixing import put_in
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Passage, Question

ONE_HOP = ("squad_train_part", "nq_qed_train", "tydiqa_en_train", HELD_OUT)
SEVERAL_HOPS = ("hotpotqa_train", "2wiki_train", "musique_train")
TRAIN, DEV, DOCUMENTS, COUNTS = "train.jsonl", "dev.jsonl", "documents.jsonl", "counts.json"
ASKED, ANSWERED = "asked.jsonl", "answered.jsonl"
CANDIDATES = 20


@dataclass(frozen=True)
class Sizes:
    """How much of the data is taken.

    Args:
        train: training questions of one hop, drawn; those of several hops are all taken.
        dev: questions of one hop to measure on, drawn likewise.
        answered: so many of all that are measured on keep their answers in ``answered.jsonl``.
    """

    train: int = 6000
    dev: int = 384
    answered: int = 288


def write_data(out: Path, sizes: Sizes = Sizes()) -> None:
    """Write ``train.jsonl`` and ``dev.jsonl`` with 20 candidates a question, and ``documents.jsonl``, once.

    ``asked.jsonl`` is ``dev.jsonl`` without answers: its questions are searched for alone; so are most of those of
    ``answered.jsonl``.

    Candidates are the best of the corpus by BM25, in whose last places stand gold documents that it missed (the
    published Oracle setting).

    Args:
        out: folder.
        sizes: how much of the data is taken.

    Raises:
        ClaraError: the files are not there.
    """
    if (out / COUNTS).is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    train, dev = _questions(sizes)
    passages = {passage.document_id: passage for row in (*train, *dev) for passage in row.passages}
    index = LexicalIndex.of_texts(lambda: [[passage.content for passage in passages.values()]])
    for name, rows in ((TRAIN, train), (DEV, dev)):
        _write(out / name, (_asked(row, passages, index) for row in rows))
    answered = {row.id for row in random.Random(1).sample(dev, min(sizes.answered, len(dev)))}
    for name, kept in ((ASKED, set[str]()), (ANSWERED, answered)):
        silent = [row if row.id in kept else replace(row, answers=()) for row in dev]
        _write(out / name, (_asked(row, passages, index) for row in silent))
    _write(out / DOCUMENTS, ({"id": name, "title": each.title, "text": each.text} for name, each in passages.items()))
    counts = {"train": len(train), "dev": len(dev), "documents": len(passages)}
    several = {name: sum(is_of_several_hops(row.id) for row in rows) for name, rows in (("train", train), ("dev", dev))}
    write_json(out / COUNTS, {**counts, "of several hops": several, "sizes": asdict(sizes)})


def count_answered(out: Path) -> int:
    """How many questions of ``answered.jsonl`` have answers."""
    counts = json.loads((out / COUNTS).read_text(encoding="utf-8"))
    return min(int(counts["sizes"]["answered"]), int(counts["dev"]))


def is_of_several_hops(row_id: str) -> bool:
    """Whether a question needs several documents, by its id (``file/id``)."""
    return row_id.partition("/")[0] in SEVERAL_HOPS


def _questions(sizes: Sizes) -> tuple[list[Question], list[Question]]:
    """Training questions, and those that are measured on."""
    rows = {name: list(_read(name)) for name in (*ONE_HOP, *SEVERAL_HOPS)}
    one_hop = [row for name in ONE_HOP for row in rows[name] if sum(passage.gold for passage in row.passages) == 1]
    several = [row for name in SEVERAL_HOPS for row in rows[name]]
    draw = random.Random(0)
    dev = draw.sample([row for row in one_hop if is_held_out(row.id)], sizes.dev)
    read = {passage.text for row in one_hop if is_held_out(row.id) for passage in row.passages}
    free = [row for row in one_hop if not any(passage.text in read for passage in row.passages)]
    train = draw.sample(free, sizes.train)
    dev += [row for row in several if is_held_out(row.id)]
    train += [row for row in several if not is_held_out(row.id)]
    draw.shuffle(train)
    return _named_once(train), _named_once(dev)


def _named_once(rows: Sequence[Question]) -> list[Question]:
    """The questions, of which some files give several the same id."""
    seen: Counter[str] = Counter()
    named = []
    for row in rows:
        named.append(replace(row, id=f"{row.id}~{seen[row.id]}") if seen[row.id] else row)
        seen[row.id] += 1
    return named


def _read(name: str) -> Iterator[Question]:
    for row in read_questions(str(data_folder() / f"{name}.jsonl"), require_answers=True):
        yield replace(row, id=f"{name}/{row.id}")


def _asked(row: Question, corpus: Mapping[str, Passage], index: LexicalIndex) -> dict[str, object]:
    """A question with its candidates, best by words first."""
    gold, names = list(row.gold_document_ids), list(corpus)
    chosen = list(index.search(row.question, top_k=CANDIDATES).rows)
    put_in(chosen, [(names.index(name),) for name in gold])
    passages = [
        {"id": name, "title": corpus[name].title, "text": corpus[name].text, "gold": name in gold}
        for name in (names[place] for place in chosen)
    ]
    return {"id": row.id, "question": row.question, "answers": row.answers, "passages": passages, "gold_ids": gold}


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
