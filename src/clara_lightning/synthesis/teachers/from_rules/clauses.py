"""The main clause of an English sentence: its subject, its verb, and what follows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.marks import OWNERS_OF_MANY, STOP
from clara_lightning.synthesis.teachers.from_rules.spans import Token
from clara_lightning.synthesis.teachers.from_rules.topic import Topic
from clara_lightning.synthesis.teachers.from_rules.verbs import PAST, PLURAL, PRESENT
from clara_lightning.synthesis.teachers.from_rules.words import (
    AUXILIARIES,
    BACK_REFERENCES,
    BE,
    DETERMINERS,
    MONTHS,
    POSSESSIVES,
    PREPOSITIONS,
    PRONOUNS,
)

_LEADS = frozenset(
    "In On During At By Since After Before From As Until Under With For Throughout Around Between".split()
)
_NO_SUBJECT = frozenset(
    "that which who whom whose when where while if because although though unless but there".split()
)
_PARTICIPLE_BEFORE = (
    DETERMINERS
    | PREPOSITIONS
    | {"and", "or", "to", "most", "more", "very", "well", "newly", "first", "be", "been", "being"}
)
_NEW_CLAUSE = _NO_SUBJECT | frozenset("and but or what how as than to so".split())
_ADVERBS = frozenset("also often then later still always never usually".split())
_NAMING = ("called", "named", "titled", "dubbed")
_INNER_GAPS = (" ", ". ", "' ", "\u2019 ", '" ', " & ", " / ")
_LONGEST_SUBJECT = 10
_LONGEST_LEAD = 9
BOUNDARY = re.compile(
    STOP.pattern
    + r"| (?:which|who|whose|while|because|although|though|but|whereas|until|when|where|after|before|if|so that)\b"
    r"| and (?:is|was|has|had|are|were|he|she|it|they|the|its|his|her|in|then|later|also)\b"
)
"""Where a clause may be cut without loss of its sense."""


_Verb = tuple[int, int, str, str]
"""Index of the verb, end of the subject, base form and helper."""


@dataclass(frozen=True)
class Clause:
    """A main clause, by offsets into its sentence.

    Attributes:
        start: where the subject begins.
        subject_end: where it ends.
        verb: the finite verb or the auxiliary.
        verb_start: where it begins.
        verb_end: where it ends.
        base: the verb's base form, empty for an auxiliary.
        helper: what a question puts before the subject: the auxiliary itself, or "did", "does", "do".
        subject: the subject as a question names it: what a pronoun stands for, no capital at an article.
        known: whether that names what it is without the sentence before.
        lead: what stands before the subject, up to its comma, such as "In 1990".
    """

    start: int
    subject_end: int
    verb: str
    verb_start: int
    verb_end: int
    base: str
    helper: str
    subject: str
    known: bool
    lead: str

    def opened(self, question: str) -> str:
        """``question`` with what stands before the subject in front of it, and with a capital."""
        whole = f"{self.lead}, {question}" if self.lead else question
        return whole[0].upper() + whole[1:]


def parse_clause(
    sentence: str, tokens: list[Token], *, names: frozenset[int], referent: str, topic: Topic
) -> Clause | None:
    """The main clause of ``sentence``, or ``None`` where its form is not one that the rules know.

    Args:
        sentence: without what stood in brackets.
        tokens: its words.
        names: where names begin in it.
        referent: what a pronoun at its beginning stands for; empty where that is not known.
        topic: of the document.
    """
    lead_end, first = _lead(sentence, tokens)
    named = not lead_end and topic.name != "" and sentence.startswith(topic.name)
    if named:
        # A title may hold what would end a subject: commas, colons, "who".
        first = next((index for index, token in enumerate(tokens) if token[1] >= len(topic.name)), first)
    found = _verb(sentence, tokens, first)
    if found is None:
        return None
    index, subject_end, base, helper = found
    verb_start, verb_end, verb = tokens[index]
    start, _, opening = tokens[first] if lead_end else tokens[0]
    if opening in ("I", "We", "You", "My", "Our") or (
        opening.endswith(("ing", "ly")) and start not in names and not named
    ):
        return None
    subject, known = _named(sentence[start:subject_end], referent, topic)
    if not subject:
        return None
    if not lead_end and start not in names and subject == sentence[start:subject_end] and subject != topic.in_text:
        subject, known = _as_inside(subject), False
    lead = sentence[:lead_end].rstrip(" ,")
    return Clause(start, subject_end, verb, verb_start, verb_end, base, helper, subject, known, lead)


def _lead(sentence: str, tokens: list[Token]) -> tuple[int, int]:
    """End of what stands before the subject, and the index of the subject's first word."""
    if not tokens or tokens[0][2] not in _LEADS:
        return 0, 0
    for index in range(1, min(len(tokens) - 1, _LONGEST_LEAD)):
        end, after = tokens[index][1], tokens[index + 1][0]
        if sentence[end:after].startswith(","):
            dated = sentence[end : after + 4].lstrip(", ")[:4].isdigit()
            if not dated:
                return after, index + 1
    words = [word for _, _, word in tokens[:4]]
    for index in (1, 2):
        year = words[index] if index < len(words) - 1 else ""
        if words[0] == "In" and len(year) == 4 and year.isdigit() and (index == 1 or words[1] in MONTHS):
            return tokens[index + 1][0], index + 1
    return 0, 0


def _verb(sentence: str, tokens: list[Token], first: int) -> _Verb | None:
    """The verb of the subject that begins at ``first``."""
    for index in range(first + 1, min(len(tokens), first + _LONGEST_SUBJECT)):
        start, _, word = tokens[index]
        gap = sentence[tokens[index - 1][1] : start]
        if gap not in _INNER_GAPS:
            return _verb_behind_comma(sentence, tokens, index) if "," in gap else None
        if word in _NO_SUBJECT:
            return None
        base, helper = _finite(sentence, tokens, index)
        if not helper or (helper == "did" and _goes_on(sentence, tokens, index)):
            continue
        adverb = tokens[index - 1][2]
        if index == first + 1 or not base or not (adverb.endswith("ly") or adverb in _ADVERBS):
            return index, tokens[index - 1][1], base, helper
        if tokens[index - 2][2].lower() not in _PARTICIPLE_BEFORE:
            return index, tokens[index - 2][1], f"{adverb} {base}", helper
    return None


def _verb_behind_comma(sentence: str, tokens: list[Token], index: int) -> _Verb | None:
    """The verb where a comma parts the subject from the word at ``index``: "KK, is ...", "Kim, a poet, was ..."."""
    subject_end, word = tokens[index - 1][1], tokens[index][2]
    if word in BE:
        return index, subject_end, "", word
    behind = _behind_apposition(sentence, tokens, index)
    base, helper = _finite(sentence, tokens, behind) if behind else ("", "")
    return (behind, subject_end, base, helper) if behind and helper else None


def _goes_on(sentence: str, tokens: list[Token], index: int) -> bool:
    """Whether a form like "called" is a participle, since the verb is still to come ("a pack called X was sold")."""
    for later in range(index + 1, min(len(tokens), index + _LONGEST_SUBJECT)):
        if sentence[tokens[later - 1][1] : tokens[later][0]][0] in ",;:" or tokens[later][2] in _NEW_CLAUSE:
            return False
        if tokens[later][2] in BE:
            return True
    return False


def _behind_apposition(sentence: str, tokens: list[Token], index: int) -> int | None:
    """Index of the word behind the comma that closes an apposition which begins at ``index``."""
    for later in range(index, min(len(tokens) - 1, index + _LONGEST_SUBJECT)):
        if tokens[later][2] in ("and", "or"):
            return None
        if sentence[tokens[later][1] : tokens[later + 1][0]] == ", ":
            return later + 1
    return None


def _finite(sentence: str, tokens: list[Token], index: int) -> tuple[str, str]:
    """Base form and helper of the word at ``index``; both empty where it is no finite verb."""
    word, before = tokens[index][2], tokens[index - 1][2]
    after = tokens[index + 1][2] if index + 1 < len(tokens) else ""
    if word in AUXILIARIES:
        participle = after in PAST or after.endswith(("ed", "en", "own")) or after in ("been", "to", "not", "also")
        if word in ("has", "have", "had") and not participle:
            return "have", {"has": "does", "have": "do", "had": "did"}[word]
        return "", word
    quoted = sentence[tokens[index][1] + 1 : tokens[index][1] + 2] in ('"', "“")
    if before.lower() in _PARTICIPLE_BEFORE or word[0].isupper():
        return "", ""
    if word in PAST and after not in ("by", "and", "or") and not (word in _NAMING and quoted):
        return PAST[word], "did"
    if word in PRESENT:
        return PRESENT[word], "does"
    if word in PLURAL and (before.endswith(("s", "ly")) or word in ("include", "comprise", "contain")):
        return word, "do"
    return "", ""


def _named(subject: str, referent: str, topic: Topic) -> tuple[str, bool]:
    """The subject as a question names it, and whether that is clear by itself."""
    first, _, rest = subject.partition(" ")
    lower = first.lower()
    if lower in PRONOUNS and not rest:
        return referent, True
    if lower in POSSESSIVES:
        owner = (topic.owner if referent == topic.in_text else _owner(referent)) if referent else ""
        return (f"{owner} {rest}" if owner and rest else "", True)
    if topic.is_meant_by(subject):
        return topic.in_text, True
    if lower in ("this", "these", "that", "those") and rest:
        return f"the {rest}", False
    if lower in ("the", "a", "an", "each", "some", "many", "most", "several", "both", "all"):
        return f"{lower} {rest}" if rest else "", any(word[0].isupper() for word in rest.split())
    if lower in BACK_REFERENCES or lower in PREPOSITIONS:
        return "", False
    return subject, first[0].isupper()


def _as_inside(subject: str) -> str:
    """A subject that is no name, as it is written inside a sentence."""
    first = subject.split(" ", 1)[0]
    proper = any(letter.isupper() for letter in first[1:]) or first.endswith(OWNERS_OF_MANY)
    proper = proper or any(word[0].isupper() for word in subject.split()[1:])
    return subject if proper else subject[0].lower() + subject[1:]


def _owner(name: str) -> str:
    return name + ("'" if name.endswith("s") else "'s")
