"""A study of stage 3: what teaches the retriever, from which start, and how well it then finds and answers."""
