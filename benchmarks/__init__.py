"""How fast, with both sides of every comparison in one run: ``python -m benchmarks.stages``, ``... .serving``."""
