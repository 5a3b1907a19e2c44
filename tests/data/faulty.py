"""Small data sets with one fault each, as files: what `lightm data verify` is tried on."""

import json

import nibabel
import numpy as np
from PIL import Image


def volumes(root, change=None, case="c02", description=None, cases=6):
    """`cases` volumes with a ball each in nnU-Net's layout; `change` alters the [image, label] pairs of one case."""
    rng = np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    grid = np.indices((16, 12, 10)).astype(float)  # (3, X, Y, Z)
    for i in range(cases):
        centre = rng.uniform(4, 7, 3)
        label = (((grid - centre[:, None, None, None]) ** 2).sum(0) < rng.integers(8, 14)).astype(np.uint8)  # (X, Y, Z)
        image = (label + rng.normal(0, 0.3, label.shape)).astype(np.float32)
        parts = [nibabel.Nifti1Image(image, np.eye(4)), nibabel.Nifti1Image(label, np.eye(4))]
        if change and f"c{i:02d}" == case:
            parts = change(*parts) or parts
        nibabel.save(parts[0], root / "imagesTr" / f"c{i:02d}_0000.nii.gz")
        nibabel.save(parts[1], root / "labelsTr" / f"c{i:02d}.nii.gz")
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content | (description or {})))
    return root


def pictures(root, cases=6):
    """`cases` gray pictures of 40 x 48 with a disc each, in images/ and masks/; masks are 0 and 255."""
    rng = np.random.default_rng(1)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    y, x = np.indices((40, 48))
    for i in range(cases):
        mask = ((y - rng.uniform(15, 25)) ** 2 + (x - rng.uniform(15, 30)) ** 2 < rng.integers(40, 90)) * 255
        image = np.clip(mask * 0.6 + rng.normal(60, 20, mask.shape), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"c{i:02d}.png")
        Image.fromarray(mask.astype(np.uint8)).save(root / "masks" / f"c{i:02d}.png")
    return root


def like(image, values=None, affine=None):
    """A NIfTI image with other values or another affine."""
    values = np.asarray(image.dataobj) if values is None else values
    return nibabel.Nifti1Image(values, image.affine if affine is None else affine)


def gray(path, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
