"""Disease progression modelling: natural history in, virtual control arms and honest comparisons out.

The public names are listed in `__init__.pyi` and imported when first used, so that `import dpm` and `dpm --help` cost
nothing; float64 and JAX's compilation cache are switched on now.
"""

import lazy_loader

from dpm.precision import configure

configure()

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
