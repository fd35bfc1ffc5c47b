"""``clara inspect`` and ``clara ask --explain``: a look inside, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, fingerprint, reasoner_of
from clara_lightning.backbone.lens import Lens, Word, logit_lens, nearest_words
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.cli.screen import print_answer, print_hits
from clara_lightning.corpus.store import LatentStore
from clara_lightning.evaluation.report.tables import plain
from clara_lightning.inference.explain import LABELS, Explanation
from clara_lightning.inference.pipeline import usable_device

MARK = "+"
"""Before a word that does not stand in the text: it must survive without colour."""

HEADINGS = {"probability": "decodes to", "cosine": "nearest"}
MEASURES = {"probability": "probabilities", "cosine": "cosines"}
SPACES = str.maketrans({" ": "␣", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
SHOWN_TEXT = 80
"""Characters of a text that name it."""


@dataclass(frozen=True)
class Looked:
    """What was found in one memory.

    Attributes:
        id: of the document in its store; ``None`` for a text from the command line.
        adapter: who made the memory.
        lens: the words.
    """

    id: str | None
    adapter: str
    lens: Lens

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"id": self.id, "adapter": self.adapter, **self.lens.to_json()}


def look_into(
    adapters: str,
    *,
    texts: Sequence[str],
    questions: Sequence[str],
    store: str | None,
    ids: Sequence[str],
    top: int,
    backbone: BackboneConfig,
    device: str | None,
) -> list[Looked]:
    """The words in the memory of texts, of questions, or of documents of a store.

    Raises:
        ClaraError: a folder is missing, an id is not in the store, or store and adapters do not belong together.
    """
    opened = LatentStore.open(store) if store else None
    folder = AdapterFolder.open(adapters).of_length(opened.memory_shape[0] if opened else None)
    rows = opened.rows_of(ids, source="--id") if opened else []
    model = build_from_folder(folder, backbone=backbone).to(usable_device(device))
    if opened is not None:
        opened.require(fingerprint=fingerprint(model), memory_tokens=folder.memory.tokens)
        contents = [document.content for document in opened.documents(rows)]
        found = nearest_words(model, contents, opened.memory(rows), top=top)
        return [Looked(name, COMPRESSOR, lens) for name, lens in zip(ids, found, strict=True)]
    adapter = reasoner_of(folder) if questions else COMPRESSOR
    return [Looked(None, adapter, lens) for lens in logit_lens(model, questions or texts, adapter=adapter, top=top)]


def print_looked(looked: Looked) -> None:
    """A table of one memory, under the beginning of its text."""
    text = " ".join(looked.lens.text.split())
    name = text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"
    source = "as it is stored" if looked.id is not None else f"as the {looked.adapter} reads it"
    print_lens(looked.lens, title="\n".join((f"{looked.id}: {name}" if looked.id is not None else name, source)))


def print_lens(lens: Lens, *, title: str) -> None:
    """What each place decodes to, and how much of it does not stand in the text."""
    table = Table(title=plain(title), title_justify="left")
    table.add_column("place", justify="right")
    anchored = any(place.anchor is not None for place in lens.places)
    if anchored:
        table.add_column("anchor", overflow="fold")
    for rank in range(max(len(place.words) for place in lens.places)):
        table.add_column(HEADINGS[lens.measure] if rank == 0 else "", overflow="fold")
    for number, place in enumerate(lens.places, start=1):
        if not place.empty:
            anchor = [plain(visible(place.anchor or ""))] if anchored else []
            table.add_row(str(number), *anchor, *map(_cell, place.words))
    console = Console()
    console.print(table)
    for line in _remarks(lens):
        console.print(line)


def _remarks(lens: Lens) -> list[str]:
    """What the table does not say."""
    share = lens.share_not_in_text
    figure = "no place has a word" if share is None else f"the best word of {share:.0%} of the places does not"
    remarks = [f"{MARK} does not stand in the text; {figure}. The figures are {MEASURES[lens.measure]}."]
    if empty := sum(place.empty for place in lens.places):
        remarks.append(f"{empty} places are left out: the text has too few tokens to fill them.")
    if lens.cut:
        remarks.append("The text is longer than what is read; only its beginning is in the memory.")
    return remarks


def _cell(word: Word) -> str:
    """A word and its figure."""
    figure = f"[dim]{word.value:.2f}[/dim]"
    shown = plain(visible(word.text))
    if word.in_text is None:
        return f"[dim]{shown}[/dim] {figure}"
    return f"{shown} {figure}" if word.in_text else f"[bold yellow]{MARK}{shown}[/bold yellow] {figure}"


def visible(token: str) -> str:
    """A token without the spaces around it; one that is nothing but space by its signs.

    Example:
        >>> visible(" Kenya"), visible(" \\n")
        ('Kenya', '␣\\\\n')
    """
    return token.strip() or token.translate(SPACES)


def print_explanation(explanation: Explanation) -> None:
    """An answer, the documents it was read from, the words in the question's vectors, and what the answer hangs on."""
    console = Console()
    print_answer(explanation.answer)
    print_hits(explanation.answer.hits)
    console.print()
    _print_weights(console, explanation)
    console.print()
    print_lens(explanation.lens, title=f"The question, as the {explanation.reasoner} reads it")
    console.print()
    _print_log_probabilities(console, explanation)


def _print_weights(console: Console, explanation: Explanation) -> None:
    """The hard choice beside the soft one."""
    candidates = explanation.candidates
    title = f"Soft choice among the best {len(candidates)} (temperature {explanation.temperature:g})"
    table = Table(title=title, title_justify="left")
    for name in ("slot", "score", "weight in its slot", "over all slots"):
        table.add_column(name, justify="right")
    table.add_column("document", overflow="fold")
    for candidate in candidates:
        if candidate.slot is not None:
            figures = (candidate.score, candidate.weights[candidate.slot - 1], candidate.mass)
            table.add_row(str(candidate.slot), *(f"{figure:.3f}" for figure in figures), plain(candidate.document.id))
    console.print(table)
    if others := [candidate for candidate in candidates if candidate.slot is None]:
        mass = sum(candidate.mass for candidate in others)
        console.print(f"The other {len(others)} have {mass:.3f} over all slots.")


def _print_log_probabilities(console: Console, explanation: Explanation) -> None:
    """The answer's tokens under each background."""
    columns = explanation.log_probabilities
    table = Table(title="Log-probability of this answer (nats)", title_justify="left", show_footer=True)
    table.add_column("token", footer="sum", overflow="fold")
    for name, values in columns.items():
        table.add_column(LABELS[name], justify="right", footer=f"{sum(values):.2f}")
    for token, *row in zip(explanation.tokens, *columns.values(), strict=True):
        table.add_row(plain(visible(token)), *(f"{value:.2f}" for value in row))
    console.print(table)
    others = ", ".join(document.id for document in explanation.another)
    lent = f"that of {others}" if others else "none: every document of the store was taken"
    console.print(f"{LABELS['another']}: {plain(lent)}")
