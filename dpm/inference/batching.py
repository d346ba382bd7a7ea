"""Batches for `jax.lax.map`."""


def batch_size(count: int, most: int = 64) -> int:
    """The largest divisor of `count` up to `most`: a remainder would be compiled a second time."""
    return max(size for size in range(1, min(count, most) + 1) if count % size == 0)
