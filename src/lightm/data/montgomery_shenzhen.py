"""704 chest radiographs with lung masks from two hospitals: the paper's 2D data set."""

import csv
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from lightm.data.base import Case, Dataset, digest
from lightm.data.images import read_image, read_label
from lightm.data.packed import PackedImages
from lightm.data.verify import find_root, hash_file, remembered_hashes
from lightm.errors import LightMError

HOSPITALS = {"MCUCXR": "Montgomery", "CHNCXR": "Shenzhen"}
READINGS = {"0": "normal", "1": "tuberculosis"}


@cache
def manifest() -> dict[str, tuple[str, str]]:
    """Case name -> (SHA-256 of the image file, SHA-256 of the mask's pixels), of all cases; hashes, no pictures."""
    text = files("lightm.data").joinpath("montgomery_shenzhen.csv").read_text(encoding="utf-8")
    return {row["case"]: (row["sha256_image"], row["sha256_mask_pixels"]) for row in csv.DictReader(text.splitlines())}


def hash_mask(path: Path) -> str:
    """SHA-256 of a mask's pixels (0 or 1, a byte each, row by row): the same however the PNG was compressed."""
    return hashlib.sha256((read_label(path)[0] > 127).astype(np.uint8).tobytes()).hexdigest()


class MontgomeryShenzhen(Dataset):
    """The X-ray sets of Montgomery County (Maryland) and Shenzhen No. 3 hospital, 512 x 512, 8-bit gray; label 1 lung.

    root: a folder with images/ and masks/, whose files are checked against the hashes in the package, once; or a file
    that `lightm.data.packed.pack` made of them. Default: cxr, or else cxr.zip, under LIGHTM_DATA.
    """

    name = "montgomery-shenzhen"
    source = (
        "Chest X-rays of Montgomery County and Shenzhen No. 3 hospital, US National Library of Medicine, public; cite "
        "Jaeger et al. 2014 (doi:10.1109/TMI.2013.2284099) and Candemir et al. 2014 (doi:10.1109/TMI.2013.2290491). "
        "Shenzhen masks: Stirenko et al. 2018 (arXiv:1803.01199), CC BY-NC-SA 4.0 by their author's word: not for "
        "commercial use. As squashed to 512 x 512 in github.com/rochadiego/MultiResUNet-lung-segmentation."
    )
    spatial_dims = 2
    classes = ("background", "lung")

    def __init__(self, root: str | Path | None = None):
        self.root = find_root(self.name, "cxr", root, packed=True)
        self.case_ids = tuple(sorted(manifest()))
        self._packed = None
        if self.root.is_file():
            self._packed = self._open_packed()
            self.packed = self._packed.summary()
        else:
            self._verify()

    def _open_packed(self) -> PackedImages:
        packed = PackedImages(self.root, self.name)
        if packed.case_ids != self.case_ids or packed.manifest["fingerprint"] != self.split_fingerprint():
            raise LightMError(f"{self.root} was not made of all of the data set {self.name}; pack it again.")
        return packed

    def _verify(self) -> None:
        expected = {}
        for case_id, (image, mask) in manifest().items():
            expected[f"images/{case_id}.png"], expected[f"masks/{case_id}.png"] = image, mask
        missing = [name for name in expected if not (self.root / name).is_file()]
        if missing:
            raise LightMError(
                f"Data set {self.name}: {len(missing)} of {len(expected)} files are missing in {self.root}, e.g. "
                f"{missing[0]}; get them with `lightm data fetch {self.name} --out FOLDER`."
            )
        how = {name: hash_file if name.startswith("images/") else hash_mask for name in expected}
        found = remembered_hashes(self.root, how, pinned=self.fingerprint())
        wrong = [name for name in expected if found[name] != expected[name]]
        if wrong:
            raise LightMError(
                f"Data set {self.name}: {len(wrong)} file(s) in {self.root} are damaged or not those of the record, "
                f"e.g. {wrong[0]}; get them again with `lightm data fetch {self.name} --out FOLDER`."
            )

    def fingerprint(self) -> str:
        return self._packed.fingerprint() if self._packed else self.split_fingerprint()

    def split_fingerprint(self) -> str:
        return digest(f"{case_id} {image} {mask}" for case_id, (image, mask) in sorted(manifest().items()))

    def hospital(self, case_id: str) -> str:
        """ "Montgomery" or "Shenzhen": they differ in machine, patients and annotators."""
        return HOSPITALS[case_id.split("_")[0]]

    def reading(self, case_id: str) -> str:
        """ "normal" or "tuberculosis", as the radiologist read it."""
        return READINGS[case_id.rpartition("_")[2]]

    def stratum(self, case_id: str) -> str:
        return f"{self.hospital(case_id)}, {self.reading(case_id)}"

    def _read(self, case_id: str) -> Case:
        if self._packed:
            return self._packed.read(case_id)
        image = read_image(self.root / "images" / f"{case_id}.png")
        label, _ = read_label(self.root / "masks" / f"{case_id}.png")
        return Case(case_id, image.values, (label > 127).astype(np.uint8), image.spacing)
