"""``clara evaluate``: answers under the conditions, retrieval beside its baselines, costs, and the report folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from clara_lightning.backbone.folder import weights_sha256
from clara_lightning.backbone.loading import resolve_dtype
from clara_lightning.corpus.memory_dtypes import bytes_per_row
from clara_lightning.evaluation.answering import Answerer, Paraphraser
from clara_lightning.evaluation.conditions import choose_conditions, give, possible_conditions
from clara_lightning.evaluation.corpus import PassageCorpus, others_gold
from clara_lightning.evaluation.costs import Meter
from clara_lightning.evaluation.processes import Processes
from clara_lightning.evaluation.ranking import Rankings, rank_all
from clara_lightning.evaluation.report.write import write_report
from clara_lightning.evaluation.results import ConditionInfo, Costs, Paraphrased, Prediction, Results
from clara_lightning.evaluation.settings import EvaluationSettings
from clara_lightning.evaluation.setup import Inputs, Prepared, prepare
from clara_lightning.evaluation.summary import Records, summarize
from clara_lightning.evaluation.work import Journal, Work
from clara_lightning.inference.pipeline import usable_device

SAMPLE = 16  # documents of a store that are compressed once more, to see what that costs


def evaluate_folder(settings: EvaluationSettings) -> tuple[Results, Costs]:
    """Measure an adapter folder and write the report.

    A run that was interrupted goes on where it was; several processes share the batches, the first one writes, and all
    return the same.

    Raises:
        ClaraError: a folder or file is missing or wrong; nothing is written then.
    """
    started = time.monotonic()
    out = settings.report_folder()
    inputs = Inputs.read(settings)
    processes = Processes.join()
    device = usable_device(settings.device)
    prepared = prepare(settings, inputs, device=processes.device(device))
    questionnaire = Questionnaire.plan(settings, inputs, prepared)
    work = Work(Journal(out, _identity(settings, inputs, device=device), processes), processes)
    meter = Meter(prepared.backbone.device)
    _compress(prepared, work, meter, batch_size=2 * settings.batch_size)
    rankings = rank_all(
        prepared.retrievers,
        prepared.asked,
        whole_corpus=settings.searches_corpus,
        work=work,
        meter=meter,
        batch_size=settings.batch_size,
    )
    predictions = questionnaire.answer(settings, prepared, rankings, work, meter)
    paraphrases = _paraphrases(settings, inputs, prepared, work)
    records = Records(questionnaire.conditions, predictions, rankings, paraphrases)
    results, ranked = summarize(settings, inputs, prepared, records, top_k=questionnaire.top_k)
    costs = _costs(inputs, prepared, meter, processes, seconds=time.monotonic() - started)
    if processes.leads:
        write_report(out, results, costs, list(chain(*predictions.values())), ranked, paraphrases)
        work.journal.remove()
    processes.leave()
    return results, costs


@dataclass(frozen=True)
class Questionnaire:
    """What is asked under which conditions.

    Attributes:
        numbers: of the questions that have an answer; the others are searched for alone.
        conditions: none where no question has an answer.
        lent: another question's gold documents for each of them.
        top_k: documents that a retriever gives.
    """

    numbers: Sequence[int]
    conditions: dict[str, ConditionInfo]
    lent: Sequence[tuple[int, ...]]
    top_k: int

    @classmethod
    def plan(cls, settings: EvaluationSettings, inputs: Inputs, prepared: Prepared) -> Questionnaire:
        """Choose the conditions.

        Raises:
            ClaraError: a condition cannot be measured on this data, or no other document can be lent.
        """
        labels = {name: retriever.label for name, retriever in prepared.retrievers.items()}
        possible = possible_conditions(labels, whole_corpus=settings.searches_corpus)
        conditions = choose_conditions(settings.conditions, possible)
        numbers = [number for number, one in enumerate(prepared.asked) if one.question.answers]
        top_k = settings.top_k or inputs.folder.retrieval.top_k
        if not numbers:
            return cls(numbers, {}, [], top_k)
        asked = [prepared.asked[number] for number in numbers]
        return cls(numbers, conditions, others_gold(asked, prepared.corpus, seed=settings.seed), top_k)

    def answer(
        self, settings: EvaluationSettings, prepared: Prepared, rankings: Rankings, work: Work, meter: Meter
    ) -> dict[str, list[Prediction]]:
        """Predictions by condition."""
        asked = [prepared.asked[number] for number in self.numbers]
        answerer = Answerer(
            prepared.backbone,
            prepared.corpus,
            asked,
            work=work,
            meter=meter,
            batch_size=settings.batch_size,
            max_new_tokens=settings.max_new_tokens,
        )
        normal, oracle = (
            {name: [found[number] for number in self.numbers] for name, found in scale.items()}
            for scale in (rankings.normal, rankings.candidates)
        )
        return {
            name: answerer.answer(
                name, info, give(info, asked, lent=self.lent, normal=normal, oracle=oracle, top_k=self.top_k)
            )
            for name, info in self.conditions.items()
        }


def _compress(prepared: Prepared, work: Work, meter: Meter, *, batch_size: int) -> None:
    """Make the memory of the passages that will be read; of a store, that of a few documents, for the clock alone."""
    corpus = prepared.corpus
    needed = sorted({row for one in prepared.asked for row in (*one.gold, *one.candidates)})

    def compress(rows: Sequence[int]) -> Tensor:
        with meter.measure("compress", items=len(rows)), torch.no_grad():
            return prepared.backbone.compress([document.content for document in corpus.documents(rows)]).cpu()

    if isinstance(corpus, PassageCorpus):
        batches = corpus.batches(needed, batch_size=batch_size)
        for rows, memory_NLD in zip(batches, work.spread("compress", batches, compress), strict=True):
            corpus.keep(rows, memory_NLD)
    else:
        compress(needed[:SAMPLE])


def _paraphrases(settings: EvaluationSettings, inputs: Inputs, prepared: Prepared, work: Work) -> list[Paraphrased]:
    if not inputs.paraphrases:
        return []
    return Paraphraser(
        prepared.backbone,
        inputs.paraphrases,
        work=work,
        batch_size=settings.batch_size,
        max_new_tokens=4 * settings.max_new_tokens,
    ).paraphrase()


def _costs(inputs: Inputs, prepared: Prepared, meter: Meter, processes: Processes, *, seconds: float) -> Costs:
    memory, store = inputs.folder.memory, inputs.store
    dtype = "bfloat16" if store is None else store.manifest.identity.dtype  # as a store would keep it
    size = bytes_per_row(dtype, memory.tokens, prepared.backbone.hidden_size)  # type: ignore[arg-type]
    text_bytes = sum(len(document.content.encode()) for document in prepared.corpus.documents(prepared.gold_rows))
    return Costs(
        device=str(prepared.backbone.device),
        processes=processes.size,
        seconds=round(seconds, 1),
        steps=meter.steps(),
        bytes_per_document={
            "memory": float(size),
            "text": text_bytes / len(prepared.gold_rows),
        },
    )


def _identity(settings: EvaluationSettings, inputs: Inputs, *, device: str) -> dict[str, Any]:
    """Everything that the result of a batch depends on."""
    read = [*map(asdict, inputs.all_questions), *map(asdict, inputs.paraphrases)]
    left_out = ("out", "device", "backbone")
    store = inputs.store
    return {
        "version": version("clara-lightning"),
        "settings": {name: value for name, value in asdict(settings).items() if name not in left_out},
        "weights": [weights_sha256(folder) for folder in (inputs.folder, *inputs.reasoners.values())],
        "backbone": [settings.backbone.name or inputs.folder.backbone["name"], str(settings.backbone.revision)],
        "device": device,
        "dtype": str(resolve_dtype(settings.backbone.dtype)),
        "data": hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest(),
        "store": None if store is None else [asdict(part.manifest) for part in store.parts],
    }
