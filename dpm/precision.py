"""Float64, the compilation cache and one setting of the compiler, switched on once, when dpm is imported.

JAX reads all from the environment when it is first imported, so that `import dpm`
itself need not import JAX. Set `DPM_COMPILATION_CACHE=off` to compile afresh every time, or to a
folder to keep the cache there.
"""

import os
import sys
from pathlib import Path

LOOPS = "xla_cpu_small_while_loop_byte_threshold"
"""Below it the compiler makes one function of a whole loop. The loops of a marginal likelihood then took 28 s of CPU to
compile instead of 11, to run a quarter faster; with 0 no loop is treated so."""


def configure() -> None:
    """Turn on float64 and JAX's persistent compilation cache, and leave loops whole (idempotent)."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={LOOPS}=0".strip()
    settings: dict[str, bool | str | float] = {"jax_enable_x64": True}
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = os.environ.get("DPM_COMPILATION_CACHE", str(home / "dpm" / "jax"))
    if folder != "off":
        settings["jax_compilation_cache_dir"] = folder
        settings["jax_persistent_cache_min_compile_time_secs"] = 0.0
    for name, value in settings.items():
        os.environ.setdefault(name.upper(), str(value))
        if "jax" in sys.modules:
            sys.modules["jax"].config.update(name, value)
