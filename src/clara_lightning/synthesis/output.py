"""The files that a run leaves: SCP supervision, and the documents that were rejected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from clara_lightning.data.writers import replacing
from clara_lightning.synthesis.folder import WorkFolder
from clara_lightning.synthesis.outcome import Outcome


class Written(NamedTuple):
    """Rows of the output, and of the rejects."""

    accepted: int
    rejected: int


def write_output(folder: WorkFolder, outcomes: Iterable[Outcome], *, teacher: str, fingerprint: str) -> Written:
    """Write the SCP file and ``rejects.jsonl``; both appear when they are whole.

    Args:
        folder: of the run.
        outcomes: of all documents, in the order of the rows.
        teacher: stands in every row.
        fingerprint: of teacher, prompts and parameters; stands in every row.

    Raises:
        ClaraError: a file cannot be written.
    """
    accepted = rejected = 0
    with replacing(folder.out) as rows, replacing(folder.path / "rejects.jsonl") as rejects:
        for outcome in outcomes:
            if outcome.reason is None:
                rows.write(_line(scp_row(outcome, teacher=teacher, fingerprint=fingerprint)))
                accepted += 1
            else:
                rejects.write(_line(_reject(outcome)))
                rejected += 1
    return Written(accepted, rejected)


def scp_row(outcome: Outcome, *, teacher: str, fingerprint: str) -> dict[str, Any]:
    """A row of SCP supervision; what the format does not name (type, found, synthesis) readers pass over."""
    pairs = [
        {"question": pair.question, "answer": pair.answer, "kind": pair.kind, "type": pair.type, "found": pair.found}
        for pair in outcome.pairs
    ]
    row: dict[str, Any] = {"id": outcome.id, "document": outcome.document, "pairs": pairs}
    if outcome.paraphrase is not None:
        row["paraphrase"] = outcome.paraphrase
    details = {"fingerprint": fingerprint, "rounds": len(outcome.rounds), "coverage": round(outcome.coverage, 4)}
    return {**row, "teacher": teacher, "synthesis": details}


def _reject(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "coverage": round(outcome.coverage, 4),
        "document": outcome.document,
    }


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
