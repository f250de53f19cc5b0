"""What the command line can do: one verb, one function, no logic.

Rooms are imported when their verb is typed, so ``--help`` is quick.
"""
