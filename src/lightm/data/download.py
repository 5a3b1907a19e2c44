"""Get each data set into the shape that its reader expects: `lightm data fetch`."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pooch
from PIL import Image
from tqdm import tqdm

from lightm.data.base import Dataset
from lightm.data.images import write_volume
from lightm.data.montgomery_shenzhen import hash_mask, manifest
from lightm.data.verify import hash_file
from lightm.errors import LightMError

XRAYS_REPOSITORY = "https://github.com/rochadiego/MultiResUNet-lung-segmentation"
XRAYS_COMMIT = "234c65ba9f3cd7e4c9f84b476745ff928694470f"
# The address and the MD5 of each archive are those of monai.apps.DecathlonDataset, which takes seconds to import.
DECATHLON = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
DECATHLON_MD5 = {
    "Task03_Liver": "a90ec6c4aa7f6a3d087205e23d4e6397",
    "Task04_Hippocampus": "9d24dba78a72977dbd1d2e110310f31b",
}


def fetch_xrays() -> Path:
    """Download the public repository that holds the squashed X-rays to the user's cache; returns its folder there."""
    url = f"{XRAYS_REPOSITORY}/archive/{XRAYS_COMMIT}.zip"
    # GitHub packs such archives anew, so the archive has no lasting hash: build_xrays checks each file in it instead.
    unpacked = pooch.retrieve(
        url,
        known_hash=None,
        fname=f"xrays-{XRAYS_COMMIT[:7]}.zip",
        path=pooch.os_cache("lightm"),
        processor=pooch.Unzip(),
        progressbar=True,
    )
    return next(Path(path).parents[2] for path in unpacked if "data/cxr" in Path(path).as_posix())


def build_xrays(source: Path, out: Path) -> None:
    """Copy images and masks from a clone of XRAYS_REPOSITORY: images as they are, masks thresholded to 0 and 255.

    Each file is compared with the hashes in the package; LightMError at the first that differs.
    """
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for case_id, (image_hash, mask_hash) in tqdm(manifest().items(), "Writing", unit="case"):
        name = f"{case_id}.png"
        for path in (source / "data" / "cxr" / name, source / "data" / "masks" / name):
            if not path.is_file():
                raise LightMError(f"{path} is missing: give --archive the folder of a clone of {XRAYS_REPOSITORY}.")
        shutil.copyfile(source / "data" / "cxr" / name, out / "images" / name)
        with Image.open(source / "data" / "masks" / name) as mask:
            pixels = np.asarray(mask.convert("L"))
        Image.fromarray(np.where(pixels > 127, 255, 0).astype(np.uint8)).save(out / "masks" / name, optimize=True)
        if hash_file(out / "images" / name) != image_hash or hash_mask(out / "masks" / name) != mask_hash:
            raise LightMError(f"{source} holds another {name} than the record; check out commit {XRAYS_COMMIT[:7]}.")


def fetch_decathlon(task: str, out: Path, archive: Path | None = None) -> None:
    """Download a task of the Decathlon (or take `archive`, downloaded by hand), check it and unpack it to `out`."""
    md5 = DECATHLON_MD5[task]
    if archive is None:
        archive = Path(
            pooch.retrieve(
                f"{DECATHLON}/{task}.tar", f"md5:{md5}", f"{task}.tar", pooch.os_cache("lightm"), progressbar=True
            )
        )
    elif not archive.is_file():
        raise LightMError(f"There is no file {archive}; give --archive the {task}.tar that you downloaded.")
    elif pooch.file_hash(str(archive), "md5") != md5:
        raise LightMError(f"{archive} is not the complete {task}.tar (its MD5 is not {md5}); download it again.")
    unpack(archive, out)


def unpack(archive: Path, out: Path) -> None:
    """Unpack a task's tar, whose one top folder becomes `out`."""
    with tarfile.open(archive) as tar:
        for member in tqdm(tar, "Unpacking", unit="file"):
            parts = Path(member.name).parts[1:]
            if not member.isfile() or not parts or parts[-1].startswith("."):
                continue
            target = out.joinpath(*parts)
            if not target.resolve().is_relative_to(out.resolve()):
                raise LightMError(f"{archive} holds {member.name}, which lies outside its folder; it was not unpacked.")
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not tar.extract(..., filter="data"): Python 3.11 has it from 3.11.4 on, and Debian 12 has 3.11.2.
            with tar.extractfile(member) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)


def write_folder(phantoms: Dataset, out: Path) -> None:
    """Write phantoms as files that data set `folder` reads: PNG in images/, masks/ or NIfTI in imagesTr/, labelsTr/."""
    if not phantoms.synthetic:
        raise LightMError(
            f"{phantoms.name} holds images of patients, which stay where they are; only phantoms are written."
        )
    flat = phantoms.spatial_dims == 2
    folders = [out / name for name in (("images", "masks") if flat else ("imagesTr", "labelsTr"))]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for case_id in tqdm(phantoms.case_ids, "Drawing", unit="case"):
        case = phantoms.read(case_id)
        for folder, values in zip(folders, (case.image[0], case.label), strict=True):
            if flat:
                shown = values * 255 if values is case.label else values  # a mask that a person can see
                Image.fromarray(shown.astype(np.uint8)).save(folder / f"{case_id}.png")
            else:
                kind = np.uint8 if values is case.label else np.int16
                write_volume(folder / f"{case_id}.nii.gz", values.astype(kind), case.spacing)
    description = {
        "name": f"{phantoms.name} (synthetic)",
        "description": phantoms.source,
        "modality": {"0": "CT" if phantoms.normalise == "ct" else "X-ray"},
        "labels": {str(i): name for i, name in enumerate(phantoms.classes)},
        "numTraining": len(phantoms),
    }
    (out / "dataset.json").write_text(json.dumps(description, indent=1) + "\n")
