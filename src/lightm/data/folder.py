"""Images and label maps side by side in two folders: your own data, and sets that come in the nnU-Net layout.

images/ with masks/          the same file name but for the ending; PNG and its like, or NIfTI
imagesTr/ with labelsTr/     Medical Segmentation Decathlon and nnU-Net (case_0000, case_0001: one file a channel)
"""

from pathlib import Path

import numpy as np

from lightm.data.base import Case, Dataset, digest
from lightm.data.images import files_of, read_image, read_label
from lightm.data.reading.description import first_error, read_description
from lightm.data.reading.layout import CaseFiles, find_layout
from lightm.data.reading.patients import read_patients
from lightm.data.verify import find_root, hash_file, remembered_hashes
from lightm.errors import LightMError


class Folder(Dataset):
    """Any folder with images and label maps.

    root: the folder. classes: names of the label values 0, 1, …; without them those of dataset.json, else background
    and foreground. A label that dataset.json calls "ignore" is left out of loss and scores. Where there are two
    classes, masks of 0 and 255 are read as 0 and 1. normalise: "zscore" or "ct"; without it, "ct" if dataset.json says
    that the images are CT.
    threshold: masks with soft edges (anti-aliased, JPEG) are 1 above it, e.g. 127. channels: 1 reads colour pictures as
    gray, 3 gray ones as colour; without it all pictures must be as the first.
    patient: whom a case is of, as a pattern whose group is the patient's name ("^(p[0-9]+)_"), or as the name of a CSV
    file in the folder with the columns case and patient: no split tears a patient's cases apart.
    accept: kinds of fault that `lightm.data.check` shall take for warnings when a training starts.
    """

    name = "folder"
    source = "Your own files."

    def __init__(
        self,
        root: str | Path | None = None,
        classes: list[str] | None = None,
        normalise: str | None = None,
        threshold: float | None = None,
        channels: int | None = None,
        accept: list[str] | None = None,
        patient: str | None = None,
    ):
        if root is None:
            raise LightMError(
                "Data set folder needs root=FOLDER, which holds images/ and masks/ (or imagesTr/, labelsTr/)."
            )
        if not Path(root).is_dir():
            raise LightMError(f"Data set folder: there is no folder {root}; correct root (relative to where you are).")
        if channels not in (None, 1, 3):
            raise LightMError(f"Data set folder: channels={channels} must be 1 (gray) or 3 (colour), or left out.")
        self._open(Path(root), classes, normalise, threshold, channels)
        self._patients = read_patients(Path(root), patient, self.case_ids) if patient else {}

    def patient(self, case_id: str) -> str:
        """Whom the case is of, as the option `patient` says; without it each case is a patient of its own."""
        return getattr(self, "_patients", {}).get(case_id, case_id)

    def _open(
        self,
        root: Path,
        classes: list[str] | None = None,
        normalise: str | None = None,
        threshold: float | None = None,
        channels: int | None = None,
    ) -> None:
        self.root, self._threshold, self._channels = root, threshold, channels
        self._files = _cases(root)
        self.case_ids = tuple(sorted(self._files))
        described = read_description(root)
        first_error(described, root)
        self.classes = tuple(classes or described.classes or ("background", "foreground"))
        self.ignore = described.ignore
        if self.ignore is not None and self.ignore < len(self.classes):
            raise LightMError(
                f"{root}: dataset.json says to ignore label {self.ignore}, and classes={list(self.classes)} names it; "
                "name fewer classes."
            )
        self.normalise = normalise or described.normalise
        if len(self.classes) < 2:
            raise LightMError(f"Data set {self.name}: classes={list(self.classes)} must name background and one more.")
        first = self._read(self.case_ids[0])
        self.in_channels, self.spatial_dims = first.image.shape[0], first.image.ndim - 1

    def _read(self, case_id: str) -> Case:
        files = self._files[case_id]
        images, mask = files.images, files.label
        channels = [read_image(path) for path in images]
        for path, channel in zip(images, channels, strict=True):
            if channel.values.shape[1:] != channels[0].values.shape[1:]:
                raise LightMError(f"{path} has another size than {images[0].name}; the channels of a case must agree.")
        label, _ = read_label(mask)
        if self._threshold is not None:
            label = label > self._threshold
        elif len(self.classes) == 2 and self.ignore != 255 and set(np.unique(label)) <= {0, 255}:
            label = label / 255
        values = np.concatenate([channel.values for channel in channels])  # (C, *S)
        wanted = self._channels or getattr(self, "in_channels", None)  # the first case sets in_channels
        values = _as_many(values, wanted, exact=self._channels is None)
        return Case(case_id, values, label.astype(np.uint8), channels[0].spacing)

    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all files; they are read once and remembered."""
        found = [path for case in self._files.values() for path in (*case.images, case.label)]
        files = sorted(p.relative_to(self.root).as_posix() for path in found for p in files_of(path))
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


def _as_many(values: np.ndarray, channels: int | None, exact: bool) -> np.ndarray:
    """A picture (C, H, W) as gray or as colour; anything else as it is. exact: only where nothing is lost by it."""
    if values.ndim != 3 or channels not in (1, 3) or len(values) == channels or len(values) not in (1, 3):
        return values
    if len(values) == 1:
        return np.repeat(values, 3, axis=0)
    if (values == values[:1]).all():
        return values[:1]
    if exact:
        return values
    return np.tensordot(np.float32([0.299, 0.587, 0.114]), values, axes=1)[None]  # luma, as Pillow's mode L


_BROKEN = ("no-partner", "two-files", "channels")  # with these it is not clear which files make a case


def _cases(root: Path) -> dict[str, CaseFiles]:
    """Case name -> its files. LightMError for the first that lacks one, and how many do."""
    layout = find_layout(root)
    broken = [fault for fault in layout.faults if fault.kind in _BROKEN]
    if broken:
        first = broken[0]
        raise LightMError(
            f"Case {first.case!r} {first.what} ({root / first.file}); {first.remedy} ({len(broken)} case(s) have such "
            "a fault; `lightm data verify` lists all)."
        )
    if not layout.cases:
        raise LightMError(f"{root / layout.masks} holds no PNG or NIfTI file; put a label map for each image there.")
    return layout.cases
