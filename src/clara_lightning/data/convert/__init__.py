"""Foreign data formats made into the project's own; ``registry.py`` lists them, ``run.py`` is the way in."""
