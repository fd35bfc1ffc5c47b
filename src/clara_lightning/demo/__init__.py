"""The embedded default: the CIA World Factbook as a corpus, with questions made from its fields."""
