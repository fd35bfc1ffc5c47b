"""A look inside a training, in TensorBoard: words, vectors, scores, gradients.

Shapes: B questions, K slots, N candidates, L memory tokens, X vectors, D hidden size.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from clara_lightning.backbone.adapters import COMPRESSOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import full
from clara_lightning.backbone.lens import BATCH, Lens, Word, anchor_words, logit_lens
from clara_lightning.data.examples import ExamplesDataModule, ReadingExample
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule
from clara_lightning.modules.joint import JointRAGModule, Scored
from clara_lightning.modules.overview import default_of
from clara_lightning.objectives.topk import best_first, selection_entropy, slot_rows

PROJECTOR = "projector"
Data = ExamplesDataModule[Any, Any]
LABEL = ("kind", "place", "anchor", "text")

log = logging.getLogger(__name__)


class LookInside(Callback):
    """Shows in TensorBoard what a training does; does nothing outside ``clara fit``, or without its logger.

    - After each validation: the words that memory decodes to (``lens/document``, ``lens/question``), and memory and
      query vectors in the projector. The projector keeps those of the newest validation, as vectors are large.
    - At each logged step: the norm of each adapter's gradient before clipping, over all its parts and after
      accumulation (``train/grad_norm_ADAPTER``), and in stage 3 the entropy of the soft choice
      (``train/selection_entropy``) and histograms of the scores, of the first process's last batch.

    Nothing here draws at random or changes a loss. Every process computes the same, since the backbone may lie in
    shards; the first writes.

    Args:
        texts: so many validation documents, and as many questions, are shown as words; 0 for none.
        vectors: so many memory vectors at most, and as many query vectors, go to the projector; 0 for none.
    """

    def __init__(self, *, texts: int = 4, vectors: int = 200) -> None:
        for name, value in (("texts", texts), ("vectors", vectors)):
            if value < 0:
                raise ClaraError(f"look.{name} must be >= 0, got {value}")
        self.texts = texts
        self.vectors = vectors

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say which settings were given for nothing."""
        given = [name for name in ("texts", "vectors") if getattr(self, name) != default_of(LookInside, name)]
        reason = "trainer.logger is not TensorBoard's" if _logger(trainer) is None else None
        if reason is None and not trainer.enable_validation:
            reason = "there is no data.init_args.val to look at"
        for name in given if reason and trainer.is_global_zero else ():
            log.warning("without effect: look.%s: %s", name, reason)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log gradients and scores of a step that is logged."""
        logger = _logger(trainer)
        if logger is None or not isinstance(pl_module, ClaraModule) or not pl_module.is_logged:
            return
        for name in pl_module.trained:
            pl_module.log(f"train/grad_norm_{name}", gradient_norm(pl_module.backbone, name))
        if isinstance(pl_module, JointRAGModule) and pl_module.scored is not None:
            self._show_scores(trainer, pl_module, pl_module.scored, logger.experiment)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show words and vectors."""
        logger, data = _logger(trainer), trainer.datamodule  # type: ignore[attr-defined]
        if trainer.state.fn != "fit" or trainer.sanity_checking or logger is None:
            return
        if isinstance(pl_module, ClaraModule) and isinstance(data, ExamplesDataModule):
            self._show_words(trainer, pl_module.backbone, data, logger.experiment)
            self._show_vectors(trainer, pl_module.backbone, data, Path(logger.log_dir) / PROJECTOR)

    def _show_scores(self, trainer: Trainer, module: JointRAGModule, scored: Scored, writer: SummaryWriter) -> None:
        select, (scores_BN, mask_BN, gold_BN) = module.select, scored
        soft_BKN = slot_rows(logits_BN := select.logits(scores_BN, mask_BN), best_first(logits_BN), k=select.k)
        module.log("train/selection_entropy", selection_entropy(soft_BKN))
        for name, chosen_BN in (("gold", gold_BN), ("others", mask_BN & ~gold_BN)):
            if trainer.is_global_zero and chosen_BN.any():
                writer.add_histogram(f"scores/{name}", scores_BN[chosen_BN], trainer.global_step)

    def _show_words(self, trainer: Trainer, backbone: ClaraBackbone, data: Data, writer: SummaryWriter) -> None:
        for kind, texts in looked_at(_examples(data), count=self.texts).items():
            lenses = logit_lens(backbone, texts, adapter=_reader(backbone, kind), top=3)
            if trainer.is_global_zero:
                writer.add_text(f"lens/{kind}", "\n\n".join(map(markdown, lenses)), trainer.global_step)

    @torch.no_grad()
    def _show_vectors(self, trainer: Trainer, backbone: ClaraBackbone, data: Data, folder: Path) -> None:
        vectors: list[Tensor] = []
        labels: list[list[str]] = []
        count = -(-self.vectors // backbone.memory_config.tokens)
        for kind, texts in looked_at(_examples(data), count=count).items():
            adapter = _reader(backbone, kind)
            with backbone.evaluating():
                parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
                memories = [backbone.read(part, adapter=adapter).memory_NLD.flatten(0, 1) for part in parts]
            vectors += [vector_D for memory_XD in memories for vector_D in memory_XD.cpu()][: self.vectors]
            labels += _labels(kind, texts, anchor_words(backbone, texts, adapter=adapter))[: self.vectors]
        if vectors and trainer.is_global_zero:
            shutil.rmtree(folder, ignore_errors=True)
            with SummaryWriter(str(folder)) as writer:
                writer.add_embedding(
                    torch.stack(vectors), labels, metadata_header=LABEL, global_step=trainer.global_step, tag="vectors"
                )


def gradient_norm(backbone: ClaraBackbone, adapter: str) -> Tensor:
    """Euclidean norm of an adapter's whole gradient, also where each process holds a part; all of them must call it."""
    gradients = [value.grad for value in backbone.own_parameters(adapter) if value.grad is not None]
    norm: Tensor = full(get_total_norm(gradients))
    return norm


def looked_at(examples: Iterable[ReadingExample | Question], *, count: int) -> dict[str, list[str]]:
    """The first ``count`` documents and questions, where there are any; of each example one, a gold one first."""
    documents: dict[str, None] = {}
    questions: dict[str, None] = {}
    for example in examples:
        if isinstance(example, ReadingExample):
            contents = example.documents
        else:
            ranked = sorted(example.passages, key=lambda passage: not passage.gold)
            contents = tuple(passage.content for passage in ranked)
        documents |= dict.fromkeys(contents[:1])
        questions |= dict.fromkeys([example.question] if example.question else ())
        if min(len(documents), len(questions)) >= count:
            break
    found = {"document": list(documents)[:count], "question": list(questions)[:count]}
    return {kind: texts for kind, texts in found.items() if texts}


def markdown(lens: Lens) -> str:
    """A lens as a table; bold and with a plus, what does not stand in the text."""
    rows = ["| place | anchor | decodes to |", "|---|---|---|"]
    for number, place in enumerate(lens.places, start=1):
        if not place.empty:
            rows.append(f"| {number} | {escaped(place.anchor or '')} | {', '.join(map(_marked, place.words))} |")
    return "\n".join([escaped(lens.text), "", *rows])


def _marked(word: Word) -> str:
    shown = escaped(word.text.strip() or repr(word.text))
    return f"**+{shown}** {word.value:.2f}" if word.in_text is False else f"{shown} {word.value:.2f}"


def escaped(text: str) -> str:
    """Text from outside for Markdown and HTML: everything but letters, digits and spaces by its number.

    Example:
        >>> escaped("a | <b>")
        'a &#124; &#60;b&#62;'
    """
    clean = (c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in clean)


def _examples(data: Data) -> Iterator[ReadingExample | Question]:
    """The validation examples, the same every time and on every process."""
    return (data.val_example(row, random.Random(0)) for row in data.val_rows)


def _labels(kind: str, texts: Sequence[str], anchors: Sequence[Sequence[str | None]]) -> list[list[str]]:
    """One line for each vector, without the tabs and line breaks that separate lines and columns."""
    return [
        [kind, str(place), " ".join((anchor or "").split()), " ".join(text.split())[:60]]
        for text, own in zip(texts, anchors, strict=True)
        for place, anchor in enumerate(own, start=1)
    ]


def _reader(backbone: ClaraBackbone, kind: str) -> str:
    """Who reads documents, and who reads questions: before stage 3 the compressor."""
    return QUERY_REASONER if kind == "question" and QUERY_REASONER in backbone.adapters else COMPRESSOR


def _logger(trainer: Trainer) -> TensorBoardLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)
