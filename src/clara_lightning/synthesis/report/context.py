"""What a report tells beside the outcomes: which documents were taken, how, by whom, and what it took.

A context is a plain mapping; every key may be missing, and one that is not known here is shown as it is:

================= ====================================================================================================
``documents``     ``read``, ``kept``, and ``left_out``: numbers by reason
``contamination`` numbers by name, and lists of examples (mappings of texts)
``settings``      as they were resolved, nested as one likes
``teacher``       its name
``fingerprint``   of all that the outcomes depend on
``seconds``       that the run took
``tokens``        where they differ from what the outcomes say
``cost``          with its currency, in words
================= ====================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from clara_lightning.synthesis.report.figures import Figures
from clara_lightning.synthesis.report.sections import Row, Section, Table
from clara_lightning.synthesis.report.text import number, percent, shortened

MOST = 20  # rows of a list of examples
_TOOK = ("seconds", "tokens", "cost")
_BEFORE = ("documents", "contamination")


def context_sections(figures: Figures, context: Mapping[str, object]) -> list[Section]:
    """Sections about what went in, what it took, and how to repeat it.

    Args:
        figures: of the synthesis.
        context: see above.
    """
    took = {name: context[name] for name in _TOOK if name in context}
    first = {name: context[name] for name in ("teacher", "fingerprint") if name in context}
    rest = {name: value for name, value in context.items() if name not in (*_TOOK, *_BEFORE, *first)}
    before = [_mapping(name.capitalize(), context[name]) for name in _BEFORE if context.get(name)]
    made = [
        Section("What it took", _TOOK_TEXT, [Table("", ["what", "value"], [*_usage(figures), *_rows(took)])]),
        Section("Before the teacher", _BEFORE_TEXT, list(chain.from_iterable(before))),
        Section("Settings", _SETTINGS_TEXT, [Table("", ["setting", "value"], _settings(first, rest), text=True)]),
    ]
    kept = [section._replace(tables=[table for table in section.tables if table.rows]) for section in made]
    return [section for section in kept if section.tables]


_TOOK_TEXT = "What rejected documents took is counted to the accepted ones."
_BEFORE_TEXT = "Which documents the teacher got, and what of known test questions was found in them."
_SETTINGS_TEXT = "All that decides about the outcomes, as it was resolved."


def _usage(figures: Figures) -> list[Row]:
    usage, total = figures.usage, figures.usage.total
    if not total.requests:
        return []
    return [
        Row(["requests", number(total.requests)]),
        Row(["tokens read", number(total.prompt_tokens)]),
        Row(["tokens written", number(total.completion_tokens)]),
        Row(["requests an accepted document", number(usage.requests.mean)]),
        Row(["tokens an accepted document", number(usage.tokens.mean, digits=0)]),
        Row(["tokens for rejected documents", percent(usage.rejected.share)]),
    ]


def _settings(first: Mapping[str, object], rest: Mapping[str, object]) -> list[Row]:
    settings = rest.get("settings")
    if not isinstance(settings, Mapping):
        return _rows({**first, **rest})
    return [*_rows(first), *_rows(settings), *_rows({key: rest[key] for key in rest if key != "settings"})]


def _mapping(name: str, values: object) -> list[Table]:
    """A mapping as a table of its figures, and a table for each list in it."""
    if not isinstance(values, Mapping):
        return [Table("", ["what", "value"], _rows({name: values}))]
    lists = {str(key): value for key, value in values.items() if _is_list(value)}
    plain = {str(key): value for key, value in values.items() if str(key) not in lists}
    rows = [Row([_worded(row.cells[0]), row.cells[1]]) for row in _rows(plain)]
    return [Table(name, ["what", "value"], rows), *[_list(f"{name}: {key}", value) for key, value in lists.items()]]


def _worded(name: str) -> str:
    """A name with dots and underscores as people say it."""
    return name.replace(".", ": ").replace("_", " ")


def _list(caption: str, items: Sequence[object]) -> Table:
    """A list of mappings as a table with their keys as columns; of other values as a column."""
    shown = [item if isinstance(item, Mapping) else {"example": item} for item in items[:MOST]]
    head = list(dict.fromkeys(str(key) for item in shown for key in item))
    more = f" ({MOST} of {len(items):,})" if len(items) > MOST else ""
    rows = [Row([_said(item[key]) if key in item else "-" for key in head]) for item in shown]
    return Table(caption + more, head, rows, text=True, folded=True)


def _rows(values: Mapping[str, object]) -> list[Row]:
    return [Row([name, text]) for name, text in _flat(values.items(), prefix="")]


def _flat(items: Iterable[tuple[object, object]], *, prefix: str) -> Iterator[tuple[str, str]]:
    """Names with dots and values as text, of nested values."""
    for name, value in items:
        if isinstance(value, Mapping):
            yield from _flat(value.items(), prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _said(value)


def _said(value: object) -> str:
    if isinstance(value, str):
        return shortened(value, longest=1000)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
