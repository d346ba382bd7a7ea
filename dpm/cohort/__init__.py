"""What was observed: read, check, align, describe.

The names are listed in `__init__.pyi` and imported when first used: a fit imports nothing that describes its cohort.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
