"""How the rules read a document: sentences, salient spans, questions about them, and other words for it."""
