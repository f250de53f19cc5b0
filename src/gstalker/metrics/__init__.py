"""How good are the pictures: metrics that see frames, never models.

``score`` puts everything together; ``protocol`` says in words and numbers what each figure means.
"""
