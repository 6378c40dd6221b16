"""The house kept in order: what of ours is in an account, what it costs, and how it goes."""
