"""Which recipe makes a memory that is used: rows of one study, each with one command (docs/recipes.md)."""
