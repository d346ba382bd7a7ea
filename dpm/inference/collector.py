"""Python's search for garbage, kept away from what was there before."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OWN = 10_000
"""More objects than these, which Python itself freezes a few hundred of, were frozen by somebody on purpose."""


@contextmanager
def old_objects_left_alone() -> Iterator[None]:
    """Within, the search for reference cycles leaves out what there is now, such as 200,000 objects of imports.

    Tracing a model makes enough objects that everything is searched several times, a tenth of a second each. Afterwards
    all is as before; nothing changes where somebody else has frozen objects already.
    """
    if gc.get_freeze_count() > OWN:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
