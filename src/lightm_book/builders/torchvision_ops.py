"""Let torchvision be imported beside a PyTorch for which its compiled operators are not built.

torchvision from PyPI is compiled for the PyTorch of PyPI, on Linux one for CUDA. Beside PyTorch's CPU build its
operators can't be loaded, and its import fails at the first of them ("operator torchvision::nms does not exist").
nnU-Net imports torchvision only through timm and needs none of its operators. So where the import fails, `make nnunet`
copies this file into its environment, with a .pth file that loads it: the operators that the import asks for are then
declared, without anything that computes them.
"""

import sys
from pathlib import Path


class _Declare:
    """At the first import of torchvision, declares the operators; then Python's own finders find the package."""

    declared = None  # kept: what a Library declares goes with it

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(cls)
            import torch

            cls.declared = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                cls.declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def install(environment: Path) -> None:
    """Copy this file into an environment so that each of its Python processes loads it."""
    import shutil
    import subprocess

    asked = [environment / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    shutil.copy(__file__, folder / "torchvision_ops.py")
    (folder / "torchvision_ops.pth").write_text("import torchvision_ops; torchvision_ops.declare()\n")


def declare() -> None:
    """What the .pth file calls."""
    sys.meta_path.insert(0, _Declare)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
