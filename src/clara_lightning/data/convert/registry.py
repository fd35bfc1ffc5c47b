"""The formats that can be converted, by the name that ``clara convert --from`` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from clara_lightning.data.convert.beir import beir
from clara_lightning.data.convert.conversion import Conversion
from clara_lightning.data.convert.hotpotqa import hotpotqa
from clara_lightning.data.convert.musique import musique
from clara_lightning.data.convert.open_questions import open_questions
from clara_lightning.data.convert.reference import reference
from clara_lightning.data.convert.squad import squad
from clara_lightning.data.convert.text_files import text_files
from clara_lightning.data.records import Document, Question, SCPExample

Records = Iterator[Document] | Iterator[Question] | Iterator[SCPExample] | Iterator[Question | SCPExample]


@dataclass(frozen=True)
class Format:
    """A foreign format.

    Attributes:
        summary: one line for the help.
        convert: gives the records of the one file that is written, or of each file by its name.
        options: names of those attributes of ``Conversion`` that not every format uses, and this one does.
    """

    summary: str
    convert: Callable[[Conversion], Records | Mapping[str, Records]]
    options: frozenset[str] = frozenset()


FORMATS: Mapping[str, Format] = {
    "hotpotqa": Format("HotpotQA: the published JSON, or the hub's Parquet and JSONL", hotpotqa),
    "2wikimultihopqa": Format("2WikiMultiHopQA: likewise", hotpotqa),
    "musique": Format("MuSiQue: JSONL", musique),
    "nq-open": Format("Natural Questions: NQ-open's JSONL, or DPR's JSON with passages", open_questions),
    "squad": Format("SQuAD 1.1 or 2.0: JSON", squad),
    "beir": Format(
        "BEIR: a folder with corpus, queries and qrels, to a folder of two files", beir, frozenset({"split"})
    ),
    "reference": Format("rows of the CLaRa reference data sets", reference),
    "text": Format("a folder of .txt and .md files, cut into passages", text_files, frozenset({"max_words"})),
}
