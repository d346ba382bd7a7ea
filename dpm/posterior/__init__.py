"""What we learned: the posterior, and what it predicts."""
