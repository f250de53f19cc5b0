"""How fast is it: each part and the whole, beside what this machine could do at most.

``python -m benchmarks PART`` measures one part and prints a table; ``card`` measures what the
README promises. ``harness`` holds the clock, ``yardstick`` says what a time is worth,
``scenes`` and ``captures`` what is drawn and learned, ``table``, ``compare`` and ``plot`` how it is
told; every other file is one part.
"""
