"""What a person types, and what is behind it."""
