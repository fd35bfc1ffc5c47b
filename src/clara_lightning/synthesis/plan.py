"""The documents that a teacher will see: read, cut and sifted, by a plan that is kept."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from clara_lightning.data.records import Document
from clara_lightning.data.rows import line_rows
from clara_lightning.data.writers import remove_leftovers, replacing, writable
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.contamination import Contamination
from clara_lightning.synthesis.contamination_report import ContaminationReport
from clara_lightning.synthesis.documents import DocumentFigures, DocumentSettings
from clara_lightning.synthesis.inputs import fingerprint, is_unchanged
from clara_lightning.synthesis.passages import Source, cut_document, is_text_folder
from clara_lightning.synthesis.sifting import Sifting, Verdicts

PLAN, LEFT_OUT = "plan.json", "left_out.jsonl"
_VERSION = 1
_DOCUMENTS_PER_CALL = 1000
Progress = Callable[[int], None]
"""Told now and then how many documents were read."""


@dataclass(frozen=True)
class Plan:
    """Which passages of a file or folder are kept. :func:`make_plan` makes it, or finds it made.

    Attributes:
        source: file or folder of the documents.
        folder: where ``plan.json`` and ``left_out.jsonl`` are.
        settings: that it was made with.
        figures: what was read and what became of it.
        report: what documents have in common with evaluation files; generated questions are not yet counted. ``None``
            without evaluation files.
        contamination: gives the index of the evaluation files, which is made when it is first asked for; ``None``
            without any.
        is_reused: whether it was there already.
    """

    source: str
    folder: Path
    settings: DocumentSettings
    figures: DocumentFigures
    report: ContaminationReport | None
    contamination: Callable[[], Contamination | None] = field(compare=False, repr=False)
    is_reused: bool = field(default=False, compare=False)

    def documents(self) -> Iterator[Document]:
        """The passages that are kept, in order, read again.

        Raises:
            ClaraError: they cannot be read, or are other ones than those of the plan.
        """
        left_out = self._left_out()
        number_left_out, id_left_out = next(left_out)
        number = 0
        for _, passage in _passages(Source(self.source, self.settings.skip_bad_rows), self.settings.max_words):
            if number == self.figures.passages:
                break
            if number != number_left_out:
                yield passage
            elif passage.id == id_left_out:
                number_left_out, id_left_out = next(left_out)
            else:
                raise self._changed()
            number += 1
        if number != self.figures.passages:
            raise self._changed()

    def _left_out(self) -> Iterator[tuple[float, str]]:
        """Numbers and ids of passages that are left out, and one that never comes."""
        for _, line in line_rows(str(self.folder / LEFT_OUT)):
            row = json.loads(line)
            yield row["number"], row["id"]
        yield math.inf, ""

    def _changed(self) -> ClaraError:
        return ClaraError(f"{self.source}: not what {self.folder / PLAN} was made from; it changed on the way")


def make_plan(
    source: str | Path,
    *,
    folder: str | Path,
    settings: DocumentSettings = DocumentSettings(),
    progress: Progress | None = None,
) -> Plan:
    """Decide which passages are kept, or find it decided by the same settings for the same files.

    Of passages that repeat each other the first is kept, in the order of the file.

    Args:
        source: a file as :func:`clara_lightning.data.readers.read_documents` takes it, or a folder of ``.txt`` and
            ``.md`` files.
        folder: where the plan is kept; made where it is missing.
        settings: which documents are asked about.
        progress: told how many documents were read.

    Returns:
        The plan; ``plan.json`` and ``left_out.jsonl`` (why each passage is left out, and what it repeats) are written.

    Raises:
        ClaraError: something cannot be read or written, a row is bad, or nothing is left.
    """
    name, folder = str(source), Path(folder)
    if is_text_folder(name) and folder.resolve().is_relative_to(Path(name).resolve()):
        raise ClaraError(f"{folder}: lies in {name}, and would be read as documents")
    contamination = cache(lambda: contamination_of(settings))
    saved = _saved(folder, settings, name)
    if saved is not None:
        report = ContaminationReport.from_json(saved["contamination"]) if saved["contamination"] else None
        figures = DocumentFigures(**saved["figures"])
        return Plan(name, folder, settings, figures, report, contamination, is_reused=True)
    fingerprints = _fingerprints(name, settings)  # before anything is read: a change meanwhile is found later
    _clear(folder)
    figures, report = _sift(name, folder, settings, contamination(), progress or (lambda count: None))
    content = {
        "version": _VERSION,
        "settings": settings.to_json(),
        "fingerprints": fingerprints,
        "figures": asdict(figures),
        "contamination": report.to_json() if report else None,
        "left_out_bytes": (folder / LEFT_OUT).stat().st_size,
    }
    with replacing(folder / PLAN) as file, writable(folder / PLAN):
        file.write(_json(content, indent=2))
    return Plan(name, folder, settings, figures, report, contamination)


def contamination_of(settings: DocumentSettings) -> Contamination | None:
    """The index of the evaluation files that the settings name, or none where they name none."""
    if not settings.decontaminate:
        return None
    return Contamination.from_files(settings.decontaminate, ngram=settings.ngram, against=settings.against)


def _report(contamination: Contamination | None) -> ContaminationReport | None:
    if contamination is None:
        return None
    return ContaminationReport.of(contamination.files, against=contamination.against, ngram=contamination.ngram)


def _fingerprints(source: str, settings: DocumentSettings) -> dict[str, dict[str, str]]:
    evaluation = {f"decontaminate {name}": fingerprint(name) for name in settings.decontaminate}
    return {"source": fingerprint(source), **evaluation}


def _saved(folder: Path, settings: DocumentSettings, source: str) -> Mapping[str, Any] | None:
    """The plan in ``folder``, if it is whole and what was asked for."""
    try:
        plan = json.loads((folder / PLAN).read_bytes())
        is_whole = (folder / LEFT_OUT).stat().st_size == plan["left_out_bytes"]
        is_same = plan["version"] == _VERSION and plan["settings"] == settings.to_json()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not is_whole or not is_same:
        return None
    known = plan["fingerprints"]
    files = {"source": source} | {f"decontaminate {name}": name for name in settings.decontaminate}
    return plan if all(is_unchanged(path, known[what]) for what, path in files.items()) else None


def _clear(folder: Path) -> None:
    """Remove an old plan, so that it never stands beside a list that is not its own, and what was left of one."""
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PLAN).unlink(missing_ok=True)
    remove_leftovers(folder / PLAN)
    remove_leftovers(folder / LEFT_OUT)


def _passages(source: Source, max_words: int) -> Iterator[tuple[bool, Document]]:
    """All passages, and whether each is the first of its document."""
    for document in source.documents():
        for index, passage in enumerate(cut_document(document, max_words=max_words)):
            yield index == 0, passage


def _sift(
    name: str, folder: Path, settings: DocumentSettings, contamination: Contamination | None, progress: Progress
) -> tuple[DocumentFigures, ContaminationReport | None]:
    source = Source(name, settings.skip_bad_rows)
    sifting = Sifting(
        folder,
        min_words=settings.min_words,
        near_duplicates=settings.near_duplicates,
        contamination=contamination,
    )
    with closing(sifting):
        verdicts = _read(source, sifting, settings, progress)
        end = verdicts.end_of(settings.limit)
        report = _report(contamination)
        left_out = _write_left_out(folder / LEFT_OUT, sifting, verdicts, end, report)
        figures = DocumentFigures(
            read=sifting.num_documents(end),
            passages=end,
            kept=end - left_out.total(),
            words=sifting.num_words(verdicts, end),
            left_out=dict(sorted(left_out.items())),
            not_read=source.not_read,
        )
    if not figures.read:
        raise ClaraError(f"{name}: no documents{figures.not_read_in_words()}")
    if not figures.kept:
        raise ClaraError(f"{name}: nothing to synthesise from: {figures.sentence()} ({folder / LEFT_OUT} lists them)")
    return figures, report


def _read(source: Source, sifting: Sifting, settings: DocumentSettings, progress: Progress) -> Verdicts:
    """Read as much as it takes. With a limit verdicts are given whenever it may have been reached."""
    num_documents = 0
    wanted = math.inf if settings.limit is None else settings.limit
    for is_first, passage in _passages(source, settings.max_words):
        num_documents += is_first
        if is_first and num_documents % _DOCUMENTS_PER_CALL == 0:
            progress(num_documents)
        sifting.add(passage, is_first=is_first)
        if sifting.num_hopeful >= wanted:
            verdicts = sifting.decide()
            missing = wanted - verdicts.num_kept
            if missing <= 0:
                break
            wanted = sifting.num_hopeful + max(missing, sifting.num_hopeful // 4)
    else:
        verdicts = sifting.decide()
    progress(num_documents)
    return verdicts


def _write_left_out(
    path: Path, sifting: Sifting, verdicts: Verdicts, end: int, report: ContaminationReport | None
) -> Counter[str]:
    counts: Counter[str] = Counter()
    with replacing(path) as file:
        for row in sifting.left_out(verdicts, end):
            counts[row.reason] += 1
            if report is not None and row.hit is not None:
                report.add_document(row.id, row.hit)
            with writable(path):
                file.write(_json(row.to_json()))
    return counts


def _json(value: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    # What stands for a byte of a file's name that is not UTF-8 becomes the escape that JSON has for it.
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
