"""How we learn: the conditional kernel and the methods that stand on it."""
