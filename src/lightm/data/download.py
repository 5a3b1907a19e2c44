"""Get each data set into the shape that its reader expects: `lightm data fetch`."""

import json
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from PIL import Image
from tqdm import tqdm

from lightm.data.base import Dataset
from lightm.data.images import write_volume
from lightm.data.montgomery_shenzhen import hash_mask, manifest
from lightm.data.verify import hash_file
from lightm.errors import LightMError
from lightm.files import whole_folder

XRAYS_REPOSITORY = "https://github.com/rochadiego/MultiResUNet-lung-segmentation"
XRAYS_COMMIT = "234c65ba9f3cd7e4c9f84b476745ff928694470f"
# The address and the MD5 of each archive are those of monai.apps.DecathlonDataset, which takes seconds to import.
DECATHLON = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
DECATHLON_MD5 = {
    "Task03_Liver": "a90ec6c4aa7f6a3d087205e23d4e6397",
    "Task04_Hippocampus": "9d24dba78a72977dbd1d2e110310f31b",
}


class Resuming:
    """A downloader for `pooch.retrieve` that goes on where the last one stopped, also after a kill: HTTP ranges.

    part: where the bytes lie until all are there. Only then pooch compares their hash and gives the file its name.
    attempts: how often in a row it goes on without a new byte before LightMError; wait: seconds, doubled each time.
    """

    def __init__(self, part: Path, attempts: int = 5, wait: float = 1.0):
        self.part, self.attempts, self.wait = part, attempts, wait

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests  # pooch stands on it

        failures = 0
        while True:
            before = self._size()
            try:
                self._go_on(url)
                break
            except (requests.RequestException, OSError) as error:
                refused = getattr(getattr(error, "response", None), "status_code", 500) < 500
                failures = failures + 1 if self._size() <= before else 1
                if refused or failures >= self.attempts or not isinstance(error, requests.RequestException):
                    raise LightMError(
                        f"The download of {url} stopped ({error}); {self._size():,} bytes are here, and the same "
                        "command goes on from there."
                    ) from error
                time.sleep(min(30.0, self.wait * 2**failures))
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _go_on(self, url: str) -> None:
        import requests

        have = self._size()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if answer.status_code == 416:  # nothing comes after what is here: it is all, or not of this file
                if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                    return
                self.part.unlink()
                raise requests.ConnectionError("the part that was here is no part of that file")
            answer.raise_for_status()
            goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            have = have if goes_on else 0  # a server that knows no ranges begins anew
            left = int(answer.headers.get("Content-Length", 0))
            if left > (free := shutil.disk_usage(self.part.parent).free):
                raise OSError(f"{left:,} bytes are to come, and the disk of {self.part.parent} has {free:,} left")
            bar = tqdm(total=have + left or None, initial=have, unit="B", unit_scale=True, desc=self.part.stem)
            with self.part.open("ab" if goes_on else "wb") as file, bar:
                for chunk in answer.iter_content(2**14):
                    file.write(chunk)
                    bar.update(len(chunk))
        if left and self._size() != have + left:
            raise requests.ConnectionError(f"{self._size():,} of {have + left:,} bytes came")


def fetch_xrays() -> Path:
    """Download the public repository that holds the squashed X-rays to the user's cache; returns its folder there."""
    cache, name = Path(pooch.os_cache("lightm")), f"xrays-{XRAYS_COMMIT[:7]}.zip"
    # GitHub packs such archives anew, so the archive has no lasting hash: build_xrays checks each file in it instead.
    try:
        unpacked = pooch.retrieve(
            f"{XRAYS_REPOSITORY}/archive/{XRAYS_COMMIT}.zip",
            known_hash=None,
            fname=name,
            path=cache,
            processor=pooch.Unzip(),
            downloader=Resuming(_part(cache, name)),
        )
    except zipfile.BadZipFile:
        (cache / name).unlink(missing_ok=True)
        raise LightMError("The archive of the radiographs came damaged and was removed; fetch it again.") from None
    return next(Path(path).parents[2] for path in unpacked if "data/cxr" in Path(path).as_posix())


def _part(cache: Path, name: str) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{name}.part"


def build_xrays(source: Path, out: Path) -> None:
    """Copy images and masks from a clone of XRAYS_REPOSITORY: images as they are, masks thresholded to 0 and 255.

    Each file is compared with the hashes in the package; LightMError at the first that differs, and `out` is not made.
    """
    with whole_folder(out) as temporary:
        _build_xrays(source, temporary)


def _build_xrays(source: Path, out: Path) -> None:
    for folder in ("images", "masks"):
        (out / folder).mkdir()
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
        cache, name = Path(pooch.os_cache("lightm")), f"{task}.tar"
        resuming = Resuming(_part(cache, name))
        try:
            archive = Path(pooch.retrieve(f"{DECATHLON}/{name}", f"md5:{md5}", name, cache, downloader=resuming))
        except ValueError as error:
            if isinstance(error, LightMError):
                raise
            raise LightMError(f"What came as {name} is not the published file (its MD5 is not {md5}).") from None
    elif not archive.is_file():
        raise LightMError(f"There is no file {archive}; give --archive the {task}.tar that you downloaded.")
    elif pooch.file_hash(str(archive), "md5") != md5:
        raise LightMError(f"{archive} is not the complete {task}.tar (its MD5 is not {md5}); download it again.")
    unpack(archive, out)


def unpack(archive: Path, out: Path) -> None:
    """Unpack a task's tar, whose one top folder becomes `out`, whole or not at all.

    Not by `pooch.Untar`, which before Python 3.12 lets a member's name lead anywhere, and keeps the top folder.
    """
    with whole_folder(out) as temporary, tarfile.open(archive) as tar:
        for member in tqdm(tar, "Unpacking", unit="file"):
            parts = Path(member.name).parts[1:]
            if not member.isfile() or not parts or parts[-1].startswith("."):
                continue
            target = temporary.joinpath(*parts)
            if not target.resolve().is_relative_to(temporary.resolve()):
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
