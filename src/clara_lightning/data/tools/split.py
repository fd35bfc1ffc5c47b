"""``clara data split``: a file for training, one to validate on and one to test on, with no document in two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from clara_lightning.data.records import Question
from clara_lightning.data.tools.contents import asked_in, gold_of
from clara_lightning.data.tools.groups import Groups, Key, key, side_of
from clara_lightning.data.tools.kinds import Record, Row, good_rows
from clara_lightning.data.tools.lines import line_of
from clara_lightning.data.writers import check_target, write_line_files
from clara_lightning.errors import ClaraError

By = Literal["document", "question", "id"]
TRAIN = "train"


@dataclass(frozen=True)
class Split:
    """How a file was split.

    Attributes:
        rows: rows on each side.
        groups: groups of rows that stay together, on each side.
        largest: rows of the largest group.
        without: rows that have nothing to go by (a question without a gold document, by documents): each went by its
            question, or a paraphrase alone by its document.
    """

    rows: Mapping[str, int]
    groups: Mapping[str, int]
    largest: int
    without: int

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def split(
    path: str, out: str, *, val: float, test: float = 0.0, by: By = "document", seed: int = 0, replace: bool = False
) -> Split:
    """Write ``train.jsonl``, ``val.jsonl`` and, where there is a share for it, ``test.jsonl``; all of them or none.

    Rows that share a document (of questions: a gold passage or gold id) stay together, also where they do so by way
    of other rows. The side of such a group depends on what is in it, and on nothing else in the file. Of the texts
    keys alone are held in memory; the file is read once more for each file that is written.

    Args:
        path: as in :func:`~clara_lightning.data.readers.read_documents`; every row must be good, and of one kind.
        out: the folder to write.
        val: share to validate on, above 0 and below 1: the chance of each group, and so of its rows, to go there.
        test: likewise to test on; 0 for none.
        by: what may not stand on two sides.
        seed: another one gives another split.
        replace: whether the files may be there already.

    Raises:
        ClaraError: an option is wrong, a row is, or one of the files would be empty; nothing is written then.
    """
    shares = _shares(val, test)
    names = {side: f"{side}.jsonl" for side in (TRAIN, *shares)}
    check_target(Path(out), [path], files=tuple(names.values()), replace=replace)
    firsts, groups, without = _grouped(path, by)
    roots = [groups.root(first) for first in firsts]
    sides = {root: side_of(root, shares, seed=seed) or TRAIN for root in dict.fromkeys(roots)}
    rows, sizes = Counter(sides[root] for root in roots), Counter(roots)
    result = Split(
        rows={side: rows[side] for side in names},
        groups={side: sum(found == side for found in sides.values()) for side in names},
        largest=max(sizes.values(), default=0),
        without=without,
    )
    _check_sides(path, result, shares)
    write_line_files(out, {name: _lines(path, [sides[r] == side for r in roots]) for side, name in names.items()})
    return result


def _shares(val: float, test: float) -> dict[str, float]:
    if not 0 < val < 1:
        raise ClaraError(f"--val must be above 0 and below 1, got {val:g}")
    if not 0 <= test < 1:
        raise ClaraError(f"--test must be >= 0 and below 1, got {test:g}")
    if val + test >= 1:
        raise ClaraError(f"--val and --test must leave something to train on, got {val:g} and {test:g}")
    return {"val": val} | ({"test": test} if test else {})


def _check_sides(path: str, found: Split, shares: Mapping[str, float]) -> None:
    total, groups = sum(found.rows.values()), sum(found.groups.values())
    if not total:
        raise ClaraError(f"{path}: holds no rows")
    for side, count in found.rows.items():
        if not count:
            option = f"--{side} {shares[side]:g}" if side in shares else "what is left to train on"
            raise ClaraError(
                f"{path}: {option}: none of the {groups} groups of rows that stay together falls there "
                f"(the largest has {found.largest} of {total} rows); take other shares, --by or --seed"
            )


def _grouped(path: str, by: By) -> tuple[list[Key], Groups, int]:
    """A key of each row, all keys in their groups, and how many rows had nothing to go by."""
    groups, firsts, without = Groups(), list[Key](), 0
    for row in good_rows(path):
        keys = [each for record in row.records for each in _keys(record, row, by)]
        if not keys:
            without += 1
            keys = [_otherwise(row)]
        groups.join(keys)
        firsts.append(keys[0])
    return firsts, groups, without


def _keys(record: Record, row: Row, by: By) -> Iterator[Key]:
    """What a record may share with others on its own side alone."""
    if by == "id":
        if not row.has_id:
            raise ClaraError(f"{row.place}: --by id: the row has no id")
        yield key("id", record.id)
    elif by == "question":
        if row.kind == "documents":
            raise ClaraError(f"{row.place}: --by question: the row is a document")
        yield from (key("question", asked.question) for asked in asked_in(record))
    else:
        yield from (key("document", text) for text in gold_of(record))
        if isinstance(record, Question):
            yield from (key("document id", name) for name in record.gold_document_ids)


def _otherwise(row: Row) -> Key:
    """The key of a row that has nothing to go by: of its question, or else of its document."""
    (record, *_) = row.records
    return key("question", record.question) if isinstance(record, Question) else key("document", gold_of(record)[0])


def _lines(path: str, wanted: list[bool]) -> Iterator[bytes]:
    rows = good_rows(path, all_columns=True)
    return (line_of(row) for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted)
