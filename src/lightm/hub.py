"""Networks in the form of the Hugging Face Hub: a folder of config.json and model.safetensors. No pickle.

>>> from lightm.hub import HubNetwork
>>> HubNetwork("lightm-unet", spatial_dims=2, in_channels=1, out_channels=2).save_pretrained("lungs")
>>> network = HubNetwork.from_pretrained("lungs").network

The networks themselves stay plain PyTorch modules: `HubNetwork` holds one and has the hub's methods. `push_to_hub` and
`from_pretrained` with the name of a repository use the network; a folder does not.
"""

import json
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.models import build_model
from lightm.training.weights import open_trained

try:
    from huggingface_hub import PyTorchModelHubMixin
except ImportError as error:
    raise LightMError(
        f"The form of the Hugging Face Hub needs the package huggingface_hub ({error}): pip install 'lightm[hub]'."
    ) from None

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class HubNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="lightm",
    tags=["image-segmentation", "medical", "mamba"],
    license="apache-2.0",
    repo_url="https://github.com/lightm-book/lightm",
    paper_url="https://arxiv.org/abs/2403.05246",
):
    """The network `name` of `lightm info` with `save_pretrained`, `from_pretrained` and `push_to_hub`.

    Args: as `lightm.models.build_model`; `options` as a dictionary. about: what else config.json shall say, such as the
    classes and the normalisation that the images need (`from_run` fills it in).
    images (B, in_channels, *S) -> logits (B, out_channels, *S). LightMError: as `build_model`.
    """

    def __init__(
        self,
        name: str,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        options: dict[str, Any] | None = None,
        about: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.network = build_model(name, spatial_dims, in_channels, out_channels, **(options or {}))
        self.about = about or {}

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    @classmethod
    def from_run(cls, run: str | Path) -> Self:
        """The best network of a run folder, or that of a weights file or of weights by name, in eval mode."""
        found = open_trained(run)
        task, config = found.task, found.config
        about = {"classes": list(task.classes), "normalise": task.normalise, "size": list(config.data.size)}
        shape = task.spatial_dims, task.in_channels, len(task.classes)
        model = cls(config.model.name, *shape, dict(config.model.options), about | {"run": config.name})
        model.network.load_state_dict(found.network().state_dict())
        return model.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Self:
        """The network of a folder that `save_pretrained` wrote, or of a repository of the Hub, in eval mode.

        options: of the Hub, such as revision or token. LightMError: a folder without the two files, or with others'.
        """
        folder = Path(source).expanduser()
        if folder.is_dir():
            _check(folder)
            source = folder
        return super().from_pretrained(source, **{"strict": True, **options})


def _check(folder: Path) -> None:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise LightMError(f"{folder} has no {name}: give a folder that save_pretrained of lightm.hub wrote.")
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        config["name"], config["spatial_dims"], config["in_channels"], config["out_channels"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LightMError(f"{folder / CONFIG} does not describe a network of lightm ({error!r}).") from None
