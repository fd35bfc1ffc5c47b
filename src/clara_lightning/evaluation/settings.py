"""What an evaluation measures: its settings, checked before anything heavy is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.corpus.hybrid import HybridSettings
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.conditions import CLARA, HYBRID, choose_conditions, possible_conditions
from clara_lightning.evaluation.work import JOURNAL

RESULTS = "results.json"
BM25_NAME, DENSE_NAME = "bm25", "dense"
OFF = "none"


@dataclass(frozen=True)
class EvaluationSettings:
    """What to measure.

    Args:
        adapters: adapter folder.
        data: questions with answers and gold documents.
        out: folder of the report.
        store: store that ``gold_ids`` point into, or several that are searched as one; without it each question's own
            passages are used.
        conditions: which to measure beside the four that always are; ``None`` for all that the data allow.
        candidates: N, candidates of a question: its own passages, filled up with the best others by BM25. By default 20
            where there is a store, else the passages alone.
        candidates_only: rank each question's candidates, and do not search the store.
        reasoners: more query reasoners by name: adapter folders with the same compressor.
        dense: dense retriever; ``None`` takes all-MiniLM-L6-v2 where it is installed, ``none`` leaves it out.
        hybrid: how the trained score and BM25 become one more retriever; ``None`` leaves it out.
        paraphrases: SCP file whose paraphrases are to be written too.
        memory_tokens: l, where the compressor was trained for several; by default the store's, or the largest.
        top_k: documents per question; by default as trained.
        limit: so many questions, drawn by ``seed``.
        seed: of what is drawn: questions, the other document, the bootstrap.
        batch_size: questions per forward pass.
        max_new_tokens: length of an answer at most.
        skip_bad_rows: unreadable rows allowed.
        backbone: settings of the backbone other than the folder's.
        device: where to run.

    Raises:
        ClaraError: a number is out of range, a condition unknown, or a reasoner's name cannot be one.
    """

    adapters: str
    data: str
    out: str
    store: str | tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None
    candidates: int | None = None
    candidates_only: bool = False
    reasoners: Mapping[str, str] = field(default_factory=dict)
    dense: str | None = None
    hybrid: HybridSettings | None = None
    paraphrases: str | None = None
    memory_tokens: int | None = None
    top_k: int | None = None
    limit: int | None = None
    seed: int = 0
    batch_size: int = 8
    max_new_tokens: int = 32
    skip_bad_rows: int = 0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("memory_tokens", "top_k", "limit", "batch_size", "max_new_tokens", "candidates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ClaraError(f"--{name.replace('_', '-')} must be >= 1, got {value}")
        if self.candidates_only and self.store is None:
            raise ClaraError("--candidates-only: without --store nothing but candidates is ranked")
        ours = (CLARA, BM25_NAME, HYBRID, DENSE_NAME)
        for name in self.reasoners:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ClaraError(f"--reasoner: {name!r} must be a name of small letters, digits and _")
            if name in (*ours, "compressor", "generator", "query_reasoner"):
                raise ClaraError(f"--reasoner: {name!r} is the name of something else here: choose another")

        named = (name for name in ours if name != HYBRID or self.hybrid is not None)
        retrievers = dict.fromkeys((*named, *self.reasoners), "")
        choose_conditions(self.conditions, possible_conditions(retrievers, whole_corpus=not self.candidates_only))

    @property
    def searches_corpus(self) -> bool:
        """Whether the whole corpus is searched, and not a question's candidates alone."""
        return self.store is not None and not self.candidates_only

    @property
    def num_candidates(self) -> int:
        """N; 0 where only a question's own passages are candidates."""
        return self.candidates or (20 if self.store else 0)

    def report_folder(self) -> Path:
        """The folder of the report.

        Raises:
            ClaraError: it holds something else.
        """
        out = Path(self.out)
        if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not is_report(out))):
            raise ClaraError(f"--out: {out} is there and no report: choose another folder")
        return out


def is_report(folder: Path) -> bool:
    """Whether a folder holds a report, or one that is not finished."""
    return (folder / RESULTS).is_file() or any(folder.glob(JOURNAL.format(rank="*")))


def open_reasoners(settings: EvaluationSettings, folder: AdapterFolder) -> dict[str, AdapterFolder]:
    """The folders of the other query reasoners.

    Raises:
        ClaraError: one of them has another compressor, or adapters of another shape.
    """
    others = {}
    for name, path in settings.reasoners.items():
        other = AdapterFolder.open(path, setting=f"--reasoner {name}")
        if other.fingerprint != folder.fingerprint:
            raise ClaraError(
                f"--reasoner {name}: {other.path} has compressor {other.fingerprint[:16]}, --adapters has "
                f"{folder.fingerprint[:16]}: only query reasoners over the same memory can be compared"
            )
        if other.lora != folder.lora:
            raise ClaraError(f"--reasoner {name}: {other.path} has other LoRA settings than --adapters")
        others[name] = other
    return others
