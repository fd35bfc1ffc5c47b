"""SCP supervision from rules: for each structured passage, questions about its facts and a paraphrase.

Stands in for the teacher LLM of the paper's section 3.1: every fact is asked about once (*simple*), pairs of facts are
asked about together (*complex*), and the paraphrase states the same facts in reverse order and other words.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from clara_lightning.data.records import Document, QAPair, SCPExample
from clara_lightning.demo.ask import Ask
from clara_lightning.demo.asks import ASKS
from clara_lightning.demo.asks_taught import TAUGHT
from clara_lightning.demo.factbook import Fact, Place, restate
from clara_lightning.demo.questions import ask_answers, locate, worded
from clara_lightning.demo.text import capitalized

_TEACHER = "rules"


def build_scp(corpus: Sequence[Document], *, places: Sequence[Place], seed: int = 0) -> list[SCPExample]:
    """One example for each passage of ``places`` that states a fact a question can ask about, in random order.

    The Factbook's own prose has no known facts and gives no example. ``document`` is what the compressor reads
    elsewhere too: the title and the text.

    Args:
        corpus: documents of the demo.
        places: those whose passages are used; pass the places of one split.
        seed: chooses wordings and pairs.
    """
    codes = {place.code for place in places}
    stated: dict[str, list[Fact]] = defaultdict(list)
    for (code, _), found in locate(corpus).items():
        if code in codes:
            stated[found.document.id].append(found.fact)
    examples = [_example(document, stated[document.id], seed) for document in corpus if document.id in stated]
    kept = [example for example in examples if example.pairs]
    return random.Random(f"{seed}/scp").sample(kept, len(kept))


def _example(document: Document, facts: Sequence[Fact], seed: int) -> SCPExample:
    rng = random.Random(f"{seed}/scp/{document.id}")
    asked = [(ask, fact) for fact in facts for ask in (*ASKS, *TAUGHT) if ask.field == fact.field.name]
    known = [(ask, fact, answers[0]) for ask, fact in asked if (answers := ask_answers(ask, fact))]
    known = [item for item in known if item[2] in document.text]
    pairs = [QAPair(worded(ask.questions, rng, place=fact.place.in_text), answer) for ask, fact, answer in known]
    return SCPExample(
        id=f"scp/{document.id}",
        document=document.content,
        pairs=(*pairs, *_complex(known, rng)),
        paraphrase=restate(facts) if len(facts) > 1 else None,
        teacher=_TEACHER,
    )


def _complex(known: Sequence[tuple[Ask, Fact, str]], rng: random.Random) -> Iterator[QAPair]:
    """Two facts asked for at once, and the place asked for by two of its facts."""
    if len({fact.field.name for _, fact, _ in known}) < 2:
        return
    (one, fact, first), (other, _, second) = _two_fields(known, rng)
    yield QAPair(f"What are {one.noun} and {other.noun} of {fact.place.in_text}?", f"{first}; {second}", "complex")
    (one, fact, first), (other, _, second) = _two_fields(known, rng)
    clues = [f"{capitalized(ask.noun.removeprefix('the '))}: {told}." for ask, told in ((one, first), (other, second))]
    yield QAPair(f"Which country is this? {' '.join(clues)}", capitalized(fact.place.in_text), "complex")


def _two_fields(known: Sequence[tuple[Ask, Fact, str]], rng: random.Random) -> list[tuple[Ask, Fact, str]]:
    """Two entries of different fields, in the passage's order."""
    one = rng.choice(known)
    other = rng.choice([item for item in known if item[1].field.name != one[1].field.name])
    return sorted((one, other), key=known.index)
