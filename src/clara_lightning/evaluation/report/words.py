"""What the words of a report mean, each in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from clara_lightning.evaluation.results import ConditionInfo, Results


class Word(NamedTuple):
    """A word as the tables show it, and its meaning."""

    label: str
    meaning: str


ANSWERS = {
    "em": Word(
        "EM", "share of answers that equal a right one, after lower-casing and without articles and punctuation"
    ),
    "f1": Word("F1", "words that the answer shares with the nearest right one: 0 is none, 1 is the same words"),
    "cover_em": Word("cover-EM", "share of answers that contain a right one"),
    "cross_entropy": Word(
        "cross-entropy", "nats per token of the right answer: how surprised the reader is by it; lower is better"
    ),
    "information_retained": Word(
        "information retained",
        "how far the background takes the same reader's cross-entropy from no documents (0) to the gold text (1)",
    ),
}
LENGTHS = {
    "words": Word("words", "length of the answers"),
    "input_positions": Word("input positions", "length of the whole prompt, as the reader sees it"),
    "background_positions": Word("background positions", "the part of the prompt that stands for the documents"),
    "compression_rate": Word("compression", "tokens of the documents for each background position"),
}
RANKING = {
    "recall": Word("Recall@k", "share of the gold documents among the first k"),
    "precision": Word("Precision@k", "share of the first k that are gold documents"),
    "ndcg": Word("nDCG@k", "like Recall@k, but a gold document counts more the higher it stands; 1 is the best order"),
    "mrr": Word("MRR", "mean of 1 / rank of the first gold document"),
    "map": Word("MAP", "mean over the gold documents of the precision at their ranks"),
}
COLLAPSE = {
    "distinct_share": Word(
        "distinct share", "different documents among all that were retrieved; near 0 if every question gets the same"
    ),
    "top_share": Word("top share", "share of the questions that get the document that is retrieved most often"),
    "selection_entropy": Word(
        "selection entropy",
        "how evenly documents are taken: 0 is the same for every question, 1 others for each",
    ),
    "score_entropy": Word(
        "score entropy", "how alike a question's cosines are: 0 if one document is far ahead, 1 if all score the same"
    ),
}
PARAPHRASES = {
    "rouge_l": Word("ROUGE-L", "longest common sequence of words with the right paraphrase: 0 none, 1 the same"),
    "words": Word("words", "length of the paraphrases"),
}
SCALES = {
    "corpus": Word("whole corpus", "every document was searched"),
    "candidates": Word("candidates", "only each question's candidates were ranked, the gold documents among them"),
}
_GENERAL = (
    Word("memory", "the few vectors that a document was compressed to; the reader gets them in place of its text"),
    Word("gold document", "a document that the data names as holding the answer"),
    Word(
        "0.450 [0.300, 0.600]",
        "a figure and its 95 % bootstrap interval: where it would mostly fall with other questions of the same kind "
        "(a share of exactly 0 or 1 gets no width: resamples hold no answer that was not seen)",
    ),
    Word("paired difference", "one system less another, question by question; sure where the interval leaves out 0"),
    Word("-", "not measured, or not defined for this row"),
)
_READERS = {"generator": "the trained generator", "backbone": "the language model without adapters"}
_FORMS = {
    "memory": "the memory of",
    "text": "the text of",
    "tokens": "the chosen tokens of",
}
_DOCUMENTS = {
    "another": "another question's gold documents",
    "gold": "the gold documents",
    "retrieved": "the documents that {retriever} finds",
    "oracle": "the best candidates by {retriever}, the gold documents being among the candidates",
}


def figure_label(name: str) -> str:
    """A figure's name as the tables show it.

    Example:
        >>> figure_label("recall@5"), figure_label("mrr"), figure_label("cover_em")
        ('Recall@5', 'MRR', 'cover-EM')
    """
    known = ANSWERS | LENGTHS | RANKING | COLLAPSE | PARAPHRASES
    name, _, k = name.partition("@")
    return known[name].label.replace("@k", f"@{k}")


def condition_meaning(info: ConditionInfo, *, retriever: str | None) -> str:
    """A condition in one line.

    Args:
        info: the condition.
        retriever: the label of who found its documents.

    Example:
        >>> condition_meaning(ConditionInfo("normal", "generator", "retrieved", "memory", "bm25"), retriever="BM25")
        'the trained generator reads the memory of the documents that BM25 finds'
    """
    reader = _READERS[info.reader]
    if info.documents == "none":
        return f"{reader} gets no documents: what it answers, it knows by itself or guesses"
    documents = _DOCUMENTS[info.documents].format(retriever=retriever)
    limit = ", as many as the memory has positions" if info.form == "tokens" else ""
    return f"{reader} reads {_FORMS[info.form]} {documents}{limit}"


def glossary(results: Results) -> Iterator[Word]:
    """The words that this report uses: general ones, its conditions, its figures."""
    yield from _GENERAL
    for info in results.conditions.values():
        retriever = results.retrievers.get(info.retriever, info.retriever) if info.retriever else None
        yield Word(info.label, condition_meaning(info, retriever=retriever))
    yield from ANSWERS.values()
    yield from LENGTHS.values()
    for scale in results.retrieval:
        yield SCALES[scale]
    used = {
        name.partition("@")[0] for systems in results.retrieval.values() for each in systems.values() for name in each
    }
    yield from (word for name, word in (RANKING | COLLAPSE).items() if name in used)
    if results.paraphrases:
        yield PARAPHRASES["rouge_l"]
