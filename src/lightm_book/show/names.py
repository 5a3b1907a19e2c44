"""What tables and figures call the networks: the names that people write, for those that `build_model` takes."""

from lightm.errors import LightMError, suggest

NAMES = {
    "lightm-unet": "LightM-UNet (text)",
    "lightm-unet-1m": "LightM-UNet-1M",
    "lightm-unet-released-2024-03-17": "LightM-UNet (1st upload)",
    "lightm-unet-released-2024-03-29": "LightM-UNet (2nd upload)",
    "nnunet": "nnU-Net",
    "segresnet": "SegResNet",
    "unetr": "UNETR",
    "swin-unetr": "SwinUNETR",
    "u-mamba-bot": "U-Mamba (Bot)",
    "u-mamba-enc": "U-Mamba (Enc)",
    "paper-conv3": "VSSM → Conv3",
    "paper-attention": "VSSM → attention",
    "paper-no-adjustment": "no adjustment factor",
    "paper-no-residual": "no residual connection",
}
NAMES |= {
    f"released-{part.removeprefix('paper-')}": f"{shown} (1st upload)"
    for part, shown in NAMES.items()
    if part.startswith("paper-")
}

# An option of a run as a reader says it; the size of the images, which a network is merely told, is left out.
_OPTIONS = {
    "directions": "{} directions",
    "d_state": "states: {}",
    "dwconv": "{} DWConv",
    "expansion": "expansion {}",
    "n_stages": "{} stages",
    "img_size": "",
}


def shown_name(system: str) -> str:
    """"nnunet, n_stages 5" (`compare.rows.label`) as "nnU-Net, 5 stages". LightMError for a name that is none."""
    model, *options = system.split(", ")
    if model not in NAMES:
        raise LightMError(f"There is no network {model!r} to be shown. {suggest(model, NAMES)}")
    words = [NAMES[model]]
    for option in options:
        key, _, value = option.partition(" ")
        words.append(_OPTIONS.get(key, f"{key} {{}}").format(value))
    return ", ".join(filter(None, words))
