"""Rows as lines of a JSONL file, as they came."""

from __future__ import annotations

import json

from clara_lightning.data.tools.kinds import Row
from clara_lightning.errors import ClaraError


def line_of(row: Row) -> bytes:
    """A row as one line: a line of JSONL as it is, an element of a list without its line breaks, a table's row as JSON.

    Raises:
        ClaraError: the row of a table holds what JSON cannot.
    """
    if isinstance(row.content, bytes):
        # Between the strings of JSON a line break is as good as a space, and within them there is none.
        return b" ".join(line.strip() for line in row.content.splitlines()) if b"\n" in row.content else row.content
    try:
        return json.dumps(dict(row.content), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:  # a date, a NaN
        raise ClaraError(f"{row.place}: cannot be written as JSON: {error}") from error
