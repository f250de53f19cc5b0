"""What happens beside training. Each works whatever the others are and in whatever order, but for
``Checkpoint``: it follows those that put things in order at an interruption.
"""
