"""The embedded default: the CIA World Factbook as a corpus, with questions and supervision made from its fields."""
