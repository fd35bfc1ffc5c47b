"""``clara ask | search | inspect``: questions to a store, and a look into memory.

Without ``--store`` and ``--adapters`` they speak of what comes with the package: trained adapters, and the World
Factbook.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara_lightning.cli.hybrid import hybrid_of, hybrid_options
from clara_lightning.cli.verb import Verb, backbone_of, model_options
from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.corpus.hybrid import HybridSettings
    from clara_lightning.inference.pipeline import Answer, ClaraPipeline

QUESTION = "what to ask; '-' reads one question a line from standard input"


def _adapter_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--adapters",
        metavar="DIR",
        help="adapter folder made by clara fit (default: those for SmolLM2-135M that come with the package)",
    )


def _store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        action="append",
        metavar="DIR",
        help="store made by clara predict; several (--store A --store B), or a file that names one a line, are one\n"
        "(default: the World Factbook, encoded at the first call)",
    )
    _adapter_option(parser)
    parser.add_argument("--top-k", type=int, metavar="K", help="documents per question (default: as trained)")
    hybrid_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a question")
    model_options(parser)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", help=QUESTION)
    _store_options(parser)


def _ask_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "question",
        nargs="?",
        help=f"{QUESTION};\nwithout one: ten questions about the World Factbook, with the share answered right",
    )
    _store_options(parser)
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also show the documents that were taken with scores and soft weights, the words in the question's\n"
        "vectors, and the answer's log-probability without, with another's, with this memory and with the text",
    )
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="length of an answer at most")


def _inspect_options(parser: argparse.ArgumentParser) -> None:
    _adapter_option(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", nargs="+", metavar="TEXT", help="documents to compress")
    what.add_argument("--question", nargs="+", metavar="TEXT", help="questions, as search reads them")
    what.add_argument("--store", metavar="DIR", help="stored memory of the documents that --id names")
    parser.add_argument("--id", nargs="+", metavar="ID", help="ids of documents in the store")
    parser.add_argument("--top", type=int, default=4, metavar="N", help="words for each place (default: 4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a text")
    model_options(parser)


def _questions(given: str) -> list[str]:
    found = [line.strip() for line in sys.stdin] if given == "-" else [given.strip()]
    questions = [question for question in found if question]
    if not questions:
        raise ClaraError("question: it is empty")
    return questions


def _pipeline(args: argparse.Namespace, hybrid: HybridSettings | None) -> ClaraPipeline:
    if args.adapters is not None and args.store is None:
        raise ClaraError("--store is required with --adapters: the documents that they are to be asked about")
    from clara_lightning.inference.pipeline import ClaraPipeline

    return ClaraPipeline.open(
        adapters=_adapters(args),
        store=_factbook() if args.store is None else args.store,
        backbone=backbone_of(args),
        device=args.device,
        hybrid=hybrid,
    )


def _adapters(args: argparse.Namespace) -> str:
    """The adapters that are named, or those that come with the package."""
    if args.adapters is not None:
        return str(args.adapters)
    from clara_lightning.demo.shipped import ADAPTERS

    return ADAPTERS


def _factbook() -> Path:
    from clara_lightning.demo.shipped import factbook_store

    return factbook_store()


def ask(args: argparse.Namespace) -> None:
    """Answer a question from the memory of the best documents in a store.

    Right after installation, without a store: about the countries of the World Factbook.
    """
    sample = args.question is None
    if sample and args.store is not None:
        raise ClaraError("question: what is to be asked of --store?")
    questions = [] if sample else _questions(args.question)
    hybrid = hybrid_of(args)
    if args.explain and hybrid is not None:
        raise ClaraError("--explain: its soft choice is one of trained scores: leave out --hybrid")
    from clara_lightning.cli.screen import print_answer

    pipeline = _pipeline(args, hybrid)
    if sample:
        _ask_sample(args, pipeline)
        return
    if args.explain:
        _explain(args, pipeline, questions)
        return
    for answer in pipeline.answer(questions, top_k=args.top_k, max_new_tokens=args.max_new_tokens):
        if args.json:
            print(json.dumps(_answer_json(answer)))
        else:
            print_answer(answer)


def _answer_json(answer: Answer) -> dict[str, Any]:
    hits = [{"id": h.document.id, "title": h.document.title, "score": h.score} for h in answer.hits]
    return {"question": answer.question, "answer": answer.text, "documents": hits}


def _ask_sample(args: argparse.Namespace, pipeline: ClaraPipeline) -> None:
    """Ten questions whose answers are known, and how many are answered right."""
    from clara_lightning.cli.screen import print_graded
    from clara_lightning.demo.shipped import sample_questions
    from clara_lightning.objectives.answers import cover_exact_match

    asked = sample_questions()
    words = [question.question for question in asked]
    if args.explain:
        _explain(args, pipeline, words)
        return
    answers = pipeline.answer(words, top_k=args.top_k, max_new_tokens=args.max_new_tokens)
    right = [cover_exact_match(a.text, references=q.answers) > 0 for q, a in zip(asked, answers, strict=True)]
    if args.json:
        for question, answer, is_right in zip(asked, answers, right, strict=True):
            print(json.dumps(_answer_json(answer) | {"references": question.answers, "right": is_right}))
    else:
        print_graded(asked, answers, right)


def _explain(args: argparse.Namespace, pipeline: ClaraPipeline, questions: Sequence[str]) -> None:
    from clara_lightning.cli.look import print_explanation
    from clara_lightning.inference.explain import explain

    for question in questions:
        explanation = explain(pipeline, question, top_k=args.top_k, max_new_tokens=args.max_new_tokens)
        if args.json:
            print(json.dumps(explanation.to_json(), ensure_ascii=False))
        else:
            print_explanation(explanation)


def search(args: argparse.Namespace) -> None:
    """Show the best documents of a store for a question."""
    questions = _questions(args.question)
    from clara_lightning.cli.screen import print_hits

    pipeline = _pipeline(args, hybrid_of(args))
    for question, hits in zip(questions, pipeline.search(questions, top_k=args.top_k), strict=True):
        if args.json:
            rows = [
                {"id": h.document.id, "title": h.document.title, "text": h.document.text, "score": h.score}
                for h in hits
            ]
            print(json.dumps({"question": question, "documents": rows}, ensure_ascii=False))
        else:
            print_hits(hits)


def inspect(args: argparse.Namespace) -> None:
    """Show the words in a memory: what each place decodes to, and which of these words do not stand in the text.

    A text is read anew, and its last hidden states go through the LM's own head. Stored memory is not: for it the
    input embeddings are shown that it lies nearest to.
    """
    if args.top < 1:
        raise ClaraError(f"--top must be >= 1, got {args.top}")
    if (args.store is None) != (args.id is None):
        raise ClaraError("--id names documents of a --store: give both, or neither")
    for option, given in (("--text", args.text), ("--question", args.question)):
        if not all(text.strip() for text in given or ()):
            raise ClaraError(f"{option}: it is empty")
    from clara_lightning.cli.look import Looked, look_into, print_looked

    looked: list[Looked] = look_into(
        _adapters(args),
        texts=args.text or (),
        questions=args.question or (),
        store=args.store,
        ids=args.id or (),
        top=args.top,
        backbone=backbone_of(args),
        device=args.device,
    )
    for each in looked:
        if args.json:
            print(json.dumps(each.to_json(), ensure_ascii=False))
        else:
            print_looked(each)


VERBS = (
    Verb("ask", "answer a question from a store", _ask_options, ask),
    Verb("search", "find documents in a store", _search_options, search),
    Verb("inspect", "the words in a memory", _inspect_options, inspect),
)
