"""The reference's row formats (see :mod:`clara_lightning.data.reference_formats`) as QA or SCP rows."""

from __future__ import annotations

from collections.abc import Iterator

from clara_lightning.data import formats
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Question, SCPExample
from clara_lightning.data.reference_formats import (
    is_pretraining,
    is_reference,
    pretraining_examples,
    reference_questions,
)
from clara_lightning.data.rows import open_rows


def reference(conversion: Conversion) -> Iterator[Question | SCPExample]:
    """Pretraining rows as SCP examples, the others as questions; the first good row says which the file holds."""
    kind: bool | None = None

    def records(row: Row, number: int) -> list[Question | SCPExample]:
        nonlocal kind
        if not is_reference(row):
            raise RowError("docs: missing")
        pretraining = is_pretraining(row)
        found = pretraining_examples(row, number) if pretraining else reference_questions(row, number)
        kind = pretraining if kind is None else kind
        if pretraining != kind:
            raise RowError("docs: pretraining rows and questions in one file; convert them from files of their own")
        return [*found]

    return conversion.records(open_rows(conversion.source, columns=formats.KNOWN_FIELDS), records)
