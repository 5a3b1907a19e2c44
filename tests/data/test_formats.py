"""NRRD, MHA and DICOM are read as NIfTI is: the same voxels at the same place."""

import locale
import sys

import numpy as np
import pytest
from faulty import pictures

from lightm.data import load_dataset
from lightm.data.check import check_folder
from lightm.data.folder import Folder
from lightm.data.images import files_of, read_image
from lightm.errors import LightMError

sitk = pytest.importorskip("SimpleITK", reason="needs the extra formats")


@pytest.fixture
def volume():
    """A volume with a direction of its own, (Z, Y, X) = (4, 5, 6) voxels."""
    values = np.random.default_rng(0).integers(0, 1000, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 2.0))
    image.SetOrigin((-10.0, 4.0, 7.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return image


def write_series(folder, volume, steps=None, uid="1.2.3"):
    """A DICOM file a slice; steps: place of each along the head, in mm (default: as the volume's spacing)."""
    folder.mkdir(parents=True)
    kept = locale.setlocale(locale.LC_ALL)  # GDCM's writer leaves the whole process in the locale "C"
    direction = np.array(volume.GetDirection()).reshape(3, 3)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z in range(volume.GetSize()[2]):
        piece = volume[:, :, z]
        far = z * volume.GetSpacing()[2] if steps is None else steps[z]
        position = np.array(volume.GetOrigin()) + direction[:, 2] * far
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{uid}.{z}",
            "0008|0060": "CT",
            "0020|000e": uid,
            "0020|000d": "1.2",
            "0020|0013": str(z),
            "0020|0032": "\\".join(f"{v:.6f}" for v in position),
            "0020|0037": "\\".join(f"{v:g}" for v in direction[:, :2].T.ravel()),
        }
        for key, value in tags.items():
            piece.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"slice{(z * 7) % 10}.dcm"))  # names say nothing of the order
        writer.Execute(piece)
    locale.setlocale(locale.LC_ALL, kept)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_volume_is_the_same_in_every_format(tmp_path, volume, ending):
    for name in ("a.nii.gz", f"a{ending}"):
        sitk.WriteImage(volume, str(tmp_path / name), True)
    nifti, other = read_image(tmp_path / "a.nii.gz"), read_image(tmp_path / f"a{ending}")
    assert np.array_equal(nifti.values, other.values) and np.allclose(nifti.spacing, other.spacing)
    assert np.allclose(nifti.upright_affine(), other.upright_affine(), atol=1e-5) and nifti.stored == other.stored


def test_a_dicom_series_is_one_volume(tmp_path, volume):
    sitk.WriteImage(volume, str(tmp_path / "a.nii.gz"))
    write_series(tmp_path / "series", volume)
    nifti, series = read_image(tmp_path / "a.nii.gz"), read_image(tmp_path / "series")
    assert np.array_equal(nifti.values, series.values) and np.allclose(nifti.spacing, series.spacing)
    assert np.allclose(nifti.upright_affine(), series.upright_affine(), atol=1e-4)


def dataset(root, volume, cases=3):
    """DICOM series in images/, NRRD label maps in masks/."""
    (root / "masks").mkdir(parents=True)
    for i in range(cases):
        values = sitk.GetArrayFromImage(volume)
        values[i] += 5
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(volume)
        write_series(root / "images" / f"case{i}", image, uid=f"1.2.{i + 1}")
        label = sitk.GetImageFromArray((values > 700 + 50 * i).astype(np.uint8))
        label.CopyInformation(volume)
        sitk.WriteImage(label, str(root / "masks" / f"case{i}.nrrd"))
    return root


def test_dicom_images_with_nrrd_masks_are_a_data_set(tmp_path, own_cache, volume):
    root = dataset(tmp_path / "set", volume)
    report = check_folder(root)
    assert not report.faults and report.facts["cases"] == 3
    data = load_dataset("folder", root=root)
    before = data.fingerprint()
    assert data.read("case1").image.shape == (1, *data.read("case1").label.shape)
    next((root / "images" / "case1").iterdir()).unlink()
    assert load_dataset("folder", root=root).fingerprint() != before


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("a slice is missing", "lacks slices after"),
        ("two series", "holds 2 DICOM series"),
        ("two slices at one place", "two DICOM slices at the same place"),
        ("a slice is damaged", "is damaged or incomplete"),
    ],
)
def test_a_faulty_series_is_named(tmp_path, own_cache, volume, how, words):
    root = dataset(tmp_path / "set", volume)
    folder = root / "images" / "case1"
    files = sorted(folder.iterdir())
    if how == "a slice is missing":
        files[2].unlink()
    elif how == "two series":
        write_series(tmp_path / "other", volume, uid="9.9")
        (tmp_path / "other" / "slice0.dcm").rename(folder / "other.dcm")
    elif how == "two slices at one place":
        (folder / "copy.dcm").write_bytes(files[0].read_bytes())
    else:
        files[0].write_bytes(files[0].read_bytes()[:300])
    errors = check_folder(root).errors
    assert {f.case for f in errors} == {"case1"} and any(words in f.what for f in errors)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("how", ["truncated", "names another file", "lies about its size", "empty"])
def test_a_damaged_nrrd_or_mha_is_named(tmp_path, volume, ending, how):
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(volume, str(path))
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "names another file":
        local = b"ElementDataFile = LOCAL"
        if ending == ".nrrd":
            content = content.replace(b"encoding: raw", b"encoding: raw\ndata file: ../secret.raw")
        path.write_bytes(content.replace(local, b"ElementDataFile = ../secret.raw"))
    else:
        path.write_bytes(content.replace(b"6 5 4", b"60000 50000 40000"))
    with pytest.raises(LightMError, match=r"a\.(nrrd|mha) (is|says)"):
        read_image(path)


def test_without_the_library_the_sentence_names_the_extra(tmp_path, own_cache, volume, monkeypatch):
    root = pictures(tmp_path / "set")
    sitk.WriteImage(volume, str(root / "images" / "v.nrrd"))
    sitk.WriteImage(volume, str(root / "masks" / "v.nrrd"))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(LightMError, match=r'type `pip install "lightm\[formats\]"`'):
        read_image(root / "images" / "v.nrrd")
    assert any("lightm[formats]" in f.remedy for f in check_folder(root).errors)


PAIRS = [(".mhd", ".raw"), (".mhd", ".zraw"), (".nhdr", ".raw"), (".nhdr", ".raw.gz")]


@pytest.mark.parametrize(("header", "voxels"), PAIRS)
def test_a_header_with_its_voxels_beside_is_one_image(tmp_path, volume, own_cache, header, voxels):
    sitk.WriteImage(volume, str(tmp_path / f"a{header}"), voxels != ".raw")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted([f"a{header}", f"a{voxels}"])
    sitk.WriteImage(volume, str(tmp_path / "b.mha"))
    first, second = read_image(tmp_path / f"a{header}"), read_image(tmp_path / "b.mha")
    assert np.array_equal(first.values, second.values) and np.allclose(first.affine, second.affine)
    assert files_of(tmp_path / f"a{header}") == [tmp_path / f"a{header}", tmp_path / f"a{voxels}"]


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "gone.raw", "LIST", "slice%03d.raw 1 9 1"])
@pytest.mark.parametrize("header", [".mhd", ".nhdr"])
def test_a_header_that_names_no_file_beside_it_is_refused(tmp_path, volume, header, name):
    (tmp_path / "in").mkdir()
    sitk.WriteImage(volume, str(tmp_path / "in" / f"a{header}"))
    (tmp_path / "secret.raw").write_bytes((tmp_path / "in" / "a.raw").read_bytes())
    text = (tmp_path / "in" / f"a{header}").read_bytes()
    (tmp_path / "in" / f"a{header}").write_bytes(text.replace(b"a.raw", name.encode()))
    with pytest.raises(LightMError, match="names no file of its voxels that lies beside it; put the two files side"):
        read_image(tmp_path / "in" / f"a{header}")


def test_a_cut_voxel_file_is_named_and_another_one_is_another_content(tmp_path, volume, own_cache):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for case in "abc":
            image = volume + ord(case) if folder == "images" else sitk.Cast(volume > 500 + ord(case), sitk.sitkUInt8)
            sitk.WriteImage(image, str(tmp_path / folder / f"{case}.mhd"))
    assert not check_folder(tmp_path).errors  # the raw files are no strangers
    raw = tmp_path / "images" / "b.raw"
    before = Folder(tmp_path).fingerprint()
    raw.write_bytes(raw.read_bytes()[::-1])
    assert Folder(tmp_path).fingerprint() != before
    raw.write_bytes(raw.read_bytes()[:-40])
    assert ("truncated", "b") in {(f.kind, f.case) for f in check_folder(tmp_path).errors}
