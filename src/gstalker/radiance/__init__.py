"""Fields that say what lies at a place under a sound: density and colour (the NeRF methods).

``marched`` holds ER-NeRF's and RAD-NeRF's head, ``flat_torso`` their torso, ``waved`` AD-NeRF's
networks. They know nothing of rays, pictures or training.
"""
