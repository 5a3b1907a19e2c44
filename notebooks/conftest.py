"""What `pytest --nbval notebooks/` needs, so that it passes without options: run with the kernel of this environment,
and compare outputs after removing what may differ between two machines (nbval_sanitize.cfg)."""

import os
from pathlib import Path


def pytest_configure(config):
    if hasattr(config.option, "nbval"):
        config.option.nbval_current_env = True
        config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(
            Path(__file__).parent / "nbval_sanitize.cfg"
        )
    os.environ |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # a debugger's warning, printed by every kernel
    os.environ |= {"LIGHTM_STATIC": "1"}  # live figures give their frames, as when the notebooks were made
    os.environ |= {"OMP_WAIT_POLICY": "passive"}  # threads that spin while they wait are slow on a busy machine
