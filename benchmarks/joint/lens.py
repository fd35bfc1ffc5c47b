"""Which words a query reasoner adds to a question, before and after joint training (``benchmarks.joint.lens``).

A place of the query's memory decodes to the words whose embeddings its vector lies nearest to. Of the first few of each
place, those that do not stand in the question are what the reasoner added; some of them may stand in the passages that
hold the answer. How many stand in another candidate of the question tells what chance would find.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, reasoner_of
from clara_lightning.backbone.lens import Lens, logit_lens, nearest_words
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError

TOP = 3  # words of a place that are looked at


@dataclass(frozen=True)
class Added:
    """The words that were added to one question.

    Attributes:
        question: its text.
        words: the words, each once.
        in_gold: those that stand in a gold passage.
        in_other: those that stand in the first candidate that is not gold.
    """

    question: str
    words: tuple[str, ...]
    in_gold: tuple[str, ...]
    in_other: tuple[str, ...]


def added_words(backbone: ClaraBackbone, questions: Sequence[Question], *, reasoner: str, lens: str) -> list[Added]:
    """What a query reasoner adds to each question.

    Args:
        backbone: reads.
        questions: with candidates, gold ones among them.
        reasoner: the adapter.
        lens: ``logit`` (the LM's own head on the last hidden states) or ``embedding`` (the nearest input embeddings).
    """
    texts = [question.question for question in questions]
    if lens == "logit":
        found = logit_lens(backbone, texts, adapter=reasoner, top=TOP)
    else:
        memory_NLD = backbone.read(texts, adapter=reasoner).memory_NLD
        found = nearest_words(backbone, texts, memory_NLD, adapter=reasoner, top=TOP)
    return [_added(question, each) for question, each in zip(questions, found, strict=True)]


def _added(question: Question, lens: Lens) -> Added:
    words = {
        word.text.strip().casefold(): None for place in lens.places for word in place.words if word.in_text is False
    }
    gold = _words(*(passage.content for passage in question.passages if passage.gold))
    other = _words(next((passage.content for passage in question.passages if not passage.gold), ""))
    named = tuple(words)
    return Added(
        question.question,
        named,
        tuple(word for word in named if word in gold),
        tuple(word for word in named if word in other),
    )


def _words(*texts: str) -> set[str]:
    return {word for text in texts for word in re.findall(r"[^\W_]+", text.casefold())}


def summary(added: Sequence[Added]) -> dict[str, float]:
    """Words added to a question, and which share of them stands in its gold passages and in another candidate."""
    total = sum(len(each.words) for each in added)
    return {
        "words": total / len(added),
        "in_gold": sum(len(each.in_gold) for each in added) / max(1, total),
        "in_other": sum(len(each.in_other) for each in added) / max(1, total),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare adapter folders, and print what each adds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint.lens", description=__doc__)
    parser.add_argument("adapters", nargs="+", help="adapter folders, such as those before and after joint training")
    parser.add_argument("--data", type=Path, required=True, help="questions with candidates, gold ones among them")
    parser.add_argument("--questions", type=int, default=20, help="so many of them (default: 20)")
    parser.add_argument("--length", type=int, help="memory tokens (default: the adapters' own)")
    parser.add_argument("--lens", choices=("embedding", "logit"), default="embedding")
    parser.add_argument("--out", type=Path, help="write all words as JSON")
    args = parser.parse_args(arguments)
    results = {}
    try:
        questions = list(read_questions(str(args.data)))[: args.questions]
        for path in args.adapters:
            folder = AdapterFolder.open(path, setting="adapters").of_length(args.length)
            added = added_words(build_from_folder(folder), questions, reasoner=reasoner_of(folder), lens=args.lens)
            results[path] = {**summary(added), "questions": [asdict(each) for each in added]}
            shown = summary(added)
            print(
                f"{path}: {shown['words']:.1f} words a question, {shown['in_gold']:.1%} of them in its gold passages, "
                f"{shown['in_other']:.1%} in another candidate"
            )
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if args.out:
        args.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
