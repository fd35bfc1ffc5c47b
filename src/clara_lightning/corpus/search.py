"""The index that a store is searched by."""

from __future__ import annotations

import logging

from clara_lightning.corpus.index import Index, JoinedIndex, LiveIndex, ScanIndex
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.corpus.two_stage import TwoStageIndex
from clara_lightning.objectives.scores import ScoreName

log = logging.getLogger(__name__)


def open_index(store: LatentStore, *, score: ScoreName) -> Index:
    """The index of a store for a score: in two stages where one was built, otherwise the exact scan.

    Args:
        store: the documents; each of its folders has an index of its own, or none.
        score: the trained score.

    Raises:
        ClaraError: files of an index are missing, or were changed.
    """
    if not any(_has_index(part, score) for part in store.parts):
        return ScanIndex(store, score=score)
    if len(store.parts) == 1:
        return _index_of(store.parts[0], score)
    return JoinedIndex([_index_of(part, score) for part in store.parts], [len(part) for part in store.parts])


def _has_index(part: StoreFolder, score: ScoreName) -> bool:
    entry = part.manifest.index
    if entry is not None and entry.score != score:
        log.warning(
            "%s: its index is for the score %s, and %s is wanted: every document is scored (clara store index %s "
            "--score %s builds one)",
            *(part.source, entry.score, score, part.source, score),
        )
    return entry is not None and entry.score == score


def _index_of(part: StoreFolder, score: ScoreName) -> Index:
    if not _has_index(part, score):
        return ScanIndex(LatentStore(part), score=score)
    index = TwoStageIndex(part.whole)
    if part.live_rows is None:
        return index
    return LiveIndex(index, live_rows=part.live_rows, whole_rows=len(part.whole))
