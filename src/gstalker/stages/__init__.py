"""The two LightningModules: ``static`` learns one silent head, ``deform`` learns to move it."""
