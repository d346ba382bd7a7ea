"""Float64 and the compilation cache, switched on once, when dpm is imported.

JAX reads both from the environment when it is first imported, so that `import dpm`
itself need not import JAX. Set `DPM_COMPILATION_CACHE=off` to compile afresh every time, or to a
folder to keep the cache there.
"""

import os
import sys
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
"""Where JAX looks for its cache's folder."""


def configure() -> None:
    """Turn on float64 and JAX's persistent compilation cache (idempotent)."""
    settings: dict[str, bool | str | float | None] = {"jax_enable_x64": True}
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = os.environ.get("DPM_COMPILATION_CACHE", str(home / "dpm" / "jax"))
    if "DPM_COMPILATION_CACHE" in os.environ:
        os.environ.pop(FOLDER, None)  # of a process that started this one, and had a folder of its own
    if folder == "off":
        settings["jax_compilation_cache_dir"] = None
    else:
        settings["jax_compilation_cache_dir"] = folder
        settings["jax_persistent_cache_min_compile_time_secs"] = 0.0
    for name, value in settings.items():
        if value is not None:
            os.environ.setdefault(name.upper(), str(value))
        if "jax" in sys.modules:
            sys.modules["jax"].config.update(name, value)
