"""Images and label maps side by side in two folders: your own data, and sets that come in the nnU-Net layout.

images/ with masks/          the same file name but for the ending; PNG and its like, or NIfTI
imagesTr/ with labelsTr/     Medical Segmentation Decathlon and nnU-Net (case_0000, case_0001: one file a channel)
"""

import json
import re
from pathlib import Path

import numpy as np

from lightm.data.base import Case, Dataset, digest
from lightm.data.images import read_image, read_label, stem_of, suffix_of
from lightm.data.verify import find_root, hash_file, remembered_hashes
from lightm.errors import LightMError


class Folder(Dataset):
    """Any folder with images and label maps.

    root: the folder. classes: names of the label values 0, 1, …; without them those of dataset.json, else background
    and foreground. Where there are two classes, masks of 0 and 255 are read as 0 and 1. normalise: "zscore" or "ct";
    without it, "ct" if dataset.json says that the images are CT.
    """

    name = "folder"
    source = "Your own files."

    def __init__(self, root: str | Path | None = None, classes: list[str] | None = None, normalise: str | None = None):
        if root is None:
            raise LightMError(
                "Data set folder needs root=FOLDER, which holds images/ and masks/ (or imagesTr/, labelsTr/)."
            )
        if not Path(root).is_dir():
            raise LightMError(f"Data set folder: there is no folder {root}; correct root (relative to where you are).")
        self._open(Path(root), classes, normalise)

    def _open(self, root: Path, classes: list[str] | None = None, normalise: str | None = None) -> None:
        self.root = root
        self._files = _pairs(root)
        self.case_ids = tuple(sorted(self._files))
        described = _describe(root)
        self.classes = tuple(classes or described.get("classes", ("background", "foreground")))
        self.normalise = normalise or described.get("normalise", "zscore")
        if len(self.classes) < 2:
            raise LightMError(f"Data set {self.name}: classes={list(self.classes)} must name background and one more.")
        first = self._read(self.case_ids[0])
        self.in_channels, self.spatial_dims = first.image.shape[0], first.image.ndim - 1

    def _read(self, case_id: str) -> Case:
        images, mask = self._files[case_id]
        channels = [read_image(path) for path in images]
        for path, channel in zip(images, channels, strict=True):
            if channel.values.shape[1:] != channels[0].values.shape[1:]:
                raise LightMError(f"{path} has another size than {images[0].name}; the channels of a case must agree.")
        label, _ = read_label(mask)
        if len(self.classes) == 2 and set(np.unique(label)) <= {0, 255}:
            label = label / 255
        return Case(
            case_id,
            np.concatenate([channel.values for channel in channels]),
            label.astype(np.uint8),
            channels[0].spacing,
        )

    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all files; they are read once and remembered."""
        files = sorted(path.relative_to(self.root).as_posix() for i, m in self._files.values() for path in (*i, m))
        return digest(
            f"{name} {value}" for name, value in remembered_hashes(self.root, dict.fromkeys(files, hash_file)).items()
        )


class Hippocampus(Folder):
    """MR volumes of the hippocampus from the Medical Segmentation Decathlon: small, quick, real 3D data.

    root: the unpacked Task04_Hippocampus (default: under LIGHTM_DATA). Intensity scales differ from case to case.
    """

    name = "hippocampus"
    source = (
        "Medical Segmentation Decathlon, Task04 Hippocampus (Vanderbilt University Medical Center), CC BY-SA 4.0; cite "
        "Antonelli et al. 2022 (doi:10.1038/s41467-022-30695-9) and Simpson et al. 2019 (arXiv:1902.09063)."
    )

    def __init__(self, root: str | Path | None = None):
        self._open(find_root(self.name, "Task04_Hippocampus", root), ["background", "anterior", "posterior"], "zscore")


class LiTS(Folder):
    """Abdominal CT with liver and tumours, in HU: the paper's 3D data set, as Task03 of the Decathlon.

    root: the unpacked Task03_Liver (default: under LIGHTM_DATA).
    """

    name = "lits"
    source = (
        "Liver Tumor Segmentation benchmark (LiTS), as Medical Segmentation Decathlon Task03 Liver, CC BY-SA 4.0; cite "
        "Bilic et al. 2023 (doi:10.1016/j.media.2022.102680), Antonelli et al. 2022 (doi:10.1038/s41467-022-30695-9)."
    )

    def __init__(self, root: str | Path | None = None):
        self._open(find_root(self.name, "Task03_Liver", root), ["background", "liver", "tumour"], "ct")


def _pairs(root: Path) -> dict[str, tuple[list[Path], Path]]:
    """Case name -> (image files, one a channel or one for all; label file)."""
    for images, masks in (("images", "masks"), ("imagesTr", "labelsTr")):
        if (root / images).is_dir() and (root / masks).is_dir():
            break
    else:
        raise LightMError(
            f"{root} holds neither images/ and masks/ nor imagesTr/ and labelsTr/; put your files in one of these."
        )
    labels = {stem_of(path): path for path in _listed(root / masks)}
    pictures: dict[str, list[Path]] = {}
    for path in _listed(root / images):
        stem = stem_of(path)
        if stem not in labels:
            stem = re.sub(r"_\d{4}$", "", stem)  # nnU-Net numbers the channels
        pictures.setdefault(stem, []).append(path)
    if not labels:
        raise LightMError(f"{root / masks} holds no PNG or NIfTI file; put a label map for each image there.")
    without = sorted(set(labels) ^ set(pictures))
    if without:
        lacks, folder = ("image", images) if without[0] in labels else ("label map", masks)
        raise LightMError(
            f"Case {without[0]!r} has no {lacks} in {root / folder}; {len(without)} case(s) lack their partner: "
            "add it, or remove the other file."
        )
    return {stem: (pictures[stem], labels[stem]) for stem in labels}


def _listed(folder: Path) -> list[Path]:
    # Names with a dot in front are what macOS leaves in archives, the Decathlon's among them.
    return sorted(path for path in folder.iterdir() if suffix_of(path) and not path.name.startswith("."))


def _describe(root: Path) -> dict:
    """What dataset.json says, in the spelling of the Decathlon ("0": "liver") or of nnU-Net ("liver": 0)."""
    path = root / "dataset.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(int(k), v) if str(k).isdigit() else (int(v), k) for k, v in content.get("labels", {}).items()]
        kinds = content.get("channel_names", content.get("modality", {}))
    except (ValueError, TypeError, AttributeError):
        raise LightMError(
            f"{path} can't be understood: `labels` must pair numbers and names; correct or remove it."
        ) from None
    names = tuple(str(name) for _, name in sorted(pairs))
    if [number for number, _ in sorted(pairs)] != list(range(len(pairs))):
        raise LightMError(f"{path}: the labels must be numbered 0, 1, 2, … without a gap; correct it.")
    described: dict = {"classes": names} if names else {}
    if isinstance(kinds, dict) and list(kinds.values())[:1] == ["CT"]:
        described["normalise"] = "ct"
    return described
