"""The report of an evaluation: a folder with records, figures, tables, pictures, and a page for people."""
