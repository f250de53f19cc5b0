"""What happens beside training. Each works whatever the others are and in whatever order."""
