"""What a document is about, so that a question can name it instead of "it"."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.gazetteer import role, sort_of
from clara_lightning.synthesis.teachers.from_rules.words import FUNCTION_WORDS

LONGEST_TITLE = 100
_LONGEST_LINK = 6
"""Words in small letters inside a name are short; "the countryside around Bern" is none."""
_FIRST_SUBJECT = re.compile(
    r"[\"'“\u2018]?((?:The )?[^\W\d_a-z][^\s,;:.()\"“”]*(?: [^\s,;:.()\"“”]+){0,6}?)[\"'”\u2019]?"
    r"(?:,? \(|,? (?:is|was|are|were)\b"
    r"|, (?:an?|the|also|formerly|originally|officially|sometimes|often|commonly|born|or|known)\b)"
)
_OPENING = re.compile(r"[A-Z][\w'\u2019.-]+(?: [A-Z][\w'\u2019.-]+){0,4}(?=,? [a-z])")
_STATED = re.compile(r"\b(?:is|was|are|were)\b|\(")
_WITH_ARTICLE = (" Republic", " Islands", " Emirates", " Union", "Netherlands", "Philippines", "Maldives")
_SMALL_WORD = re.compile(r"\b[a-z]+\b")
_PERSONAL = re.compile(r"\b(?:[Hh]e|[Ss]he|[Hh]is|[Hh]er)\b")
_IMPERSONAL = re.compile(r"\b(?:It|Its|They|Their)\b")


@dataclass(frozen=True)
class Topic:
    """What a document is about; all empty where nothing tells.

    Attributes:
        name: its name.
        in_text: the name as it stands inside a sentence, such as "the Milky Way".
        person: whether it is a person.
        sort: what else it is, such as "country".
        people: whether the document speaks more of "he" and "she" than of "it"; known without a topic, too.
    """

    name: str = ""
    in_text: str = ""
    person: bool = False
    sort: str = ""
    people: bool = False

    def is_meant_by(self, subject: str) -> bool:
        """Whether ``subject`` is the topic, its longer form, or a person's last name."""
        if not self.name:
            return False
        if subject in (self.name, self.in_text):
            return True
        words, own = subject.split(), self.name.split()
        if self.person and len(words) < 6:
            return len(own) > 1 and words[-1] == own[-1] and all(word[0].isupper() for word in words)
        return len(words) == len(own) + 1 and set(own) < set(words) and all(word[0].isupper() for word in words)

    @property
    def several(self) -> bool:
        """Whether "they" may stand for it: a group, or a word in the plural."""
        return self.in_text.startswith("the ") or self.in_text.endswith("s")

    @property
    def owner(self) -> str:
        """The possessive of it."""
        return self.in_text + ("'" if self.in_text.endswith("s") else "'s")


def topic_of(title: str, text: str, first_sentence: str) -> Topic:
    """The topic of a document, from its title, or else from the subject of its first sentence.

    Args:
        title: the document's title, as it is.
        text: the part of the document that is read.
        first_sentence: of ``text``.
    """
    title = " ".join(html.unescape(title).replace("_", " ").split())
    name = _from_title(title, text) if 0 < len(title) <= LONGEST_TITLE else ""
    name = name or _from_sentence(first_sentence) or _from_opening(first_sentence, text)
    personal, impersonal = len(_PERSONAL.findall(text[:2000])), len(_IMPERSONAL.findall(text[:2000]))
    if not name:
        return Topic(people=personal > impersonal)
    sort = sort_of(name.split())
    likely = sort == "person" or (not sort and personal > impersonal and text.startswith(name[:4]))
    person = likely and not name.startswith("The ") and not _is_thing(first_sentence)
    sort = "" if sort == "person" else sort
    return Topic(name, _in_text(name, text), person, sort, personal > impersonal)


def _is_thing(sentence: str) -> bool:
    """Whether the first word of a role is one of a thing: "is a 1967 film by the director" is."""
    return next(filter(None, map(role, _SMALL_WORD.findall(sentence[:300]))), "") == "thing"


def _from_title(title: str, text: str) -> str:
    if title in text:
        return title
    bare = re.sub(r" \([^()]*\)$", "", title)
    head = bare.partition(": ")[0].partition(" - ")[0]
    return head if head in text else bare


def _from_sentence(sentence: str) -> str:
    match = _FIRST_SUBJECT.match(sentence)
    if not match:
        return ""
    words = match.group(1).split()
    large = [word for word in words if word[0].isupper() and word.lower() not in FUNCTION_WORDS]
    small = [word for word in words[1:] if word[0].islower()]
    if words[0].endswith(("ing", "ed")) and not _STATED.search(match.group(), len(match.group(1))):
        return ""  # "Beginning in May 1990, the ..."
    if not large or words[0].lower() in FUNCTION_WORDS - {"the"} or any(len(word) > _LONGEST_LINK for word in small):
        return ""
    return match.group(1).rstrip("'\u2019”\"")


def _from_opening(sentence: str, text: str) -> str:
    """A name that the text begins with and comes back to."""
    match = _OPENING.match(sentence)
    if not match or match.group().split(" ", 1)[0].lower() in FUNCTION_WORDS:
        return ""
    name = match.group()
    return name if len(re.findall(rf"\b{re.escape(name)}\b", text)) > 1 else ""


def _in_text(name: str, text: str) -> str:
    if name.startswith("The "):
        return "the " + name[4:]
    if name.startswith("United ") or name.endswith(_WITH_ARTICLE):
        return f"the {name}"
    if text.startswith(name):
        return name
    pattern = rf"\b[Tt]he {re.escape(name)}(?=[,.;:)]| (?:\(|is\b|was\b|are\b|were\b|has\b|had\b))"
    return f"the {name}" if re.search(pattern, text) else name
