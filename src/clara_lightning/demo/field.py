"""What a structured fact of the Factbook is made of."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.demo.readers import Parts, Reader


@dataclass(frozen=True)
class Field:
    """One fact that a passage can state: where it is found, how it is read, and the sentence that states it.

    A sentence that opens with "Its" or "It" takes the place's name where it opens a passage.
    """

    name: str
    path: str
    reader: Reader
    sentence: str

    def parts(self, text: str) -> Parts:
        """The field's parts, or none where the text is not of the known form."""
        return self.reader(text)


Sections = dict[str, tuple[str, tuple[Field, ...]]]
