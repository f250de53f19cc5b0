"""How fast are the parts, measured in one run against a yardstick of the same run."""
