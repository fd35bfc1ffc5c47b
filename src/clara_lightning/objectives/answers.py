"""Scores of a written answer against its reference answers: plain text in, a number in [0, 1] out.

Normalisation and the first two scores are those of SQuAD's official evaluation (arXiv 1606.05250, section 6.1; empty
answers as in version 2.0), so that numbers compare with published ones.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from clara_lightning.errors import ClaraError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and superfluous white space, in SQuAD's order.

    Args:
        text: an answer.

    Returns:
        Words with one space between them; may be empty.

    Example:
        >>> normalize_answer("  The U.S. -- an Overview! ")
        'us overview'
    """
    text = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(prediction: str, *, references: Sequence[str]) -> float:
    """1 if the normalised prediction equals a normalised reference, else 0.

    Args:
        prediction: what was generated.
        references: acceptable answers.

    Returns:
        The best over the references.

    Raises:
        ClaraError: there is no reference.

    Example:
        >>> exact_match("The Eiffel Tower.", references=["Eiffel tower"])
        1.0
    """
    return _best(prediction, references=references, score=lambda ours, theirs: float(ours == theirs))


def token_f1(prediction: str, *, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the words of the normalised answers, counted with repetition.

    Two empty answers agree (1); an empty and another one do not (0).

    Args:
        prediction: what was generated.
        references: acceptable answers.

    Returns:
        The best over the references.

    Raises:
        ClaraError: there is no reference.

    Example:
        >>> token_f1("the tower in Paris", references=["Eiffel Tower, Paris"])
        0.6666666666666666
    """
    return _best(prediction, references=references, score=_f1)


def cover_exact_match(prediction: str, *, references: Sequence[str]) -> float:
    """1 if the words of a normalised reference stand together in the normalised prediction, else 0.

    Whole words only: "art" is not covered by "party". A reference of which nothing is left (articles, punctuation) is
    covered by an empty prediction alone, not by every one. A language that writes no spaces has no words here.

    Args:
        prediction: what was generated.
        references: acceptable answers.

    Returns:
        The best over the references.

    Raises:
        ClaraError: there is no reference.

    Example:
        >>> cover_exact_match("It was built in Paris, France.", references=["Paris France"])
        1.0
    """
    return _best(prediction, references=references, score=_covers)


def _f1(ours: str, theirs: str) -> float:
    our_words, their_words = ours.split(), theirs.split()
    if not our_words or not their_words:
        return float(ours == theirs)
    num_common = (Counter(our_words) & Counter(their_words)).total()
    return 2 * num_common / (len(our_words) + len(their_words))


def _covers(ours: str, theirs: str) -> float:
    # With nothing in theirs, two spaces: normalised text has them nowhere, and nothing at all has them here.
    return float(f" {theirs} " in f" {ours} ")


def _best(prediction: str, *, references: Sequence[str], score: Callable[[str, str], float]) -> float:
    if isinstance(references, str):  # A str is a Sequence[str] to a type checker; its letters are not answers.
        raise TypeError(f"references must be a list of answers, got the text {references!r}")
    if not references:
        raise ClaraError("answers must hold at least one reference answer, got none")
    ours = normalize_answer(prediction)
    return max(score(ours, normalize_answer(reference)) for reference in references)


def rouge_l(prediction: str, *, reference: str) -> float:
    """ROUGE-L (Lin 2004): F-measure of the longest common subsequence of words, in [0, 1], by torchmetrics.

    Words are runs of ASCII letters and digits, in lower case, as torchmetrics and the original script split them.

    Args:
        prediction: what was generated.
        reference: the text it should say.

    Example:
        >>> round(rouge_l("the cat sat", reference="the cat lay there"), 3)
        0.571
    """
    from torchmetrics.functional.text import rouge_score  # takes a second, and only paraphrases need it

    return float(rouge_score(prediction, reference, rouge_keys="rougeL")["rougeL_fmeasure"])
