"""The deferred engine. `engine.py` is the loop, and has the overview."""
