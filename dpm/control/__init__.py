"""The comparison: estimands, and every method's answer in the same record."""
