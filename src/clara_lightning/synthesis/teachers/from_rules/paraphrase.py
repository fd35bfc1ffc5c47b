"""A paraphrase by rules: the sentences in another order, some of them turned around."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teacher import BadReplyError
from clara_lightning.synthesis.teachers.from_rules.draws import draw
from clara_lightning.synthesis.teachers.from_rules.rewording import reword
from clara_lightning.synthesis.teachers.from_rules.sentences import split_sentences
from clara_lightning.synthesis.teachers.from_rules.text import READ, writing_of
from clara_lightning.synthesis.teachers.from_rules.topic import Topic, topic_of
from clara_lightning.synthesis.teachers.from_rules.words import CONNECTIVES, POSSESSIVES, PREPOSITIONS, PRONOUNS

_BLOCK_MARKUP = re.compile(r"```|~~~|^[ \t]{0,20}(?:\||\{\|)|<[a-zA-Z!/]", re.MULTILINE)
_CLOSED = re.compile(r"[.!?…:;。\uff01\uff1f।][\"'”\u2019»)\]」』]{0,3}$")
_DIGITS = re.compile(r"\d+")
# "As", "since" or "for" begin sentences that stand alone.
_LEANING = CONNECTIVES - frozenset(
    "and as although because since until when whereas while once for some other others if".split()
)

_POINTING = frozenset("it this that these those them him her which".split())


def paraphrase(title: str, text: str, *, plain: bool) -> str:
    """``text`` with the same facts in another order.

    Args:
        title: of the document; what "it" stands for is named where its sentence comes first.
        text: of the document.
        plain: leave the sentences themselves as they are.

    Raises:
        BadReplyError: nothing can be moved, or the text is too long or too much markup.
    """
    if len(text) > READ:
        raise BadReplyError("the document is longer than what the rules reword")
    if _BLOCK_MARKUP.search(text):
        raise BadReplyError("the rules reword no markup")
    sentences = split_sentences(text)
    english = writing_of(text) == "english"
    topic = topic_of(title, text, sentences[0]) if sentences and english else Topic()
    moved = _moved(sentences, topic)
    reworded = [reword(sentence) if english and not plain else sentence for sentence in moved]
    result = _joined(reworded)
    if not result or _folded(result) == _folded(" ".join(sentences)):
        raise BadReplyError("the rules find nothing that can be moved in this document")
    return _with_title(result, title, text)


def _moved(sentences: list[str], topic: Topic) -> list[str]:
    """The sentences in another order; those that lean on the one before stay behind it."""
    opens = _opens_with_topic(sentences, topic)
    blocks: list[list[int]] = []
    for index, sentence in enumerate(sentences):
        quoting = blocks and sum(sentences[inner].count('"') for inner in blocks[-1]) % 2 == 1
        if blocks and (quoting or (_leans(sentence) and not opens[index])):
            blocks[-1].append(index)
        else:
            blocks.append([index])
    if len(blocks) == 1:
        blocks = [[index] for index in range(len(sentences))]
    ordered = sorted(blocks, key=lambda block: draw(sentences[block[0]], str(block[0])))
    if ordered == blocks:
        ordered = [*blocks[1:], *blocks[:1]]
    order = [index for block in ordered for index in block]
    return [
        sentences[index] if before == index - 1 or not opens[index] else _naming(sentences[index], topic)
        for before, index in zip([None, *order], order, strict=False)
    ]


def _leans(sentence: str) -> bool:
    """Whether a sentence speaks of the one before: "However, ...", "It ...", "In this ..."."""
    first, _, rest = sentence.partition(" ")
    word = first.strip(",\"'“").lower()
    if word in PREPOSITIONS:
        return rest.split(" ", 1)[0].strip(",") in _POINTING
    return word in _LEANING or word in PRONOUNS or word in POSSESSIVES


def _opens_with_topic(sentences: list[str], topic: Topic) -> list[bool]:
    """For each sentence whether it begins with a pronoun that stands for the topic."""
    found: list[bool] = []
    about = bool(topic.name)
    for sentence in sentences:
        first = sentence.split(" ", 1)[0].lower()
        pronoun = first in PRONOUNS or first in POSSESSIVES
        personal = first in ("he", "she", "his", "her")
        if pronoun:
            about = about and personal == topic.person and (topic.several or not first.startswith("the"))
        else:
            about = bool(topic.name) and sentence.lower().startswith((topic.name.lower(), topic.in_text.lower()))
        found.append(about and pronoun)
    return found


def _naming(sentence: str, topic: Topic) -> str:
    first, _, rest = sentence.partition(" ")
    name = topic.owner if first.lower() in POSSESSIVES else topic.in_text
    return f"{name[0].upper()}{name[1:]} {rest}"


def _joined(sentences: list[str]) -> str:
    """On one line, but a sentence without an end, such as an item of a list, keeps its line."""
    text = ""
    for sentence in sentences:
        if text:
            text += ("" if text[-1] in "。\uff01\uff1f」』" else " ") if _CLOSED.search(text[-4:]) else "\n"
        text += sentence
    return text


def _with_title(text: str, title: str, original: str) -> str:
    """The title in front where it has numbers that the text lacks, or makes up most of a short document."""
    title = " ".join(title.split())
    told = set(_DIGITS.findall(original))
    lacking = any(number not in told for number in _DIGITS.findall(title))
    return f"{title}: {text}" if lacking or len(title) > len(original) else text


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()
