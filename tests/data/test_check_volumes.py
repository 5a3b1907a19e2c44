"""`lightm data verify` on volumes: each kind of fault is named with its case and file, and sound data are not."""

import gzip
import json
import struct

import nibabel
import numpy as np
import pytest
from faulty import like, volumes

from lightm.data.check import check_folder
from lightm.data.folder import Folder
from lightm.errors import LightMError


def found(report, severity=None):
    """(kind, case) of the faults."""
    return {(f.kind, f.case) for f in report.faults if severity in (None, f.severity)}


def moved(image, label, *millimetres):
    affine = np.eye(4)
    affine[:3, 3] = millimetres
    return image, like(label, affine=affine)


def with_forms(image, label, qform, sform, codes=(1, 1)):
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1])
    label.set_qform(qform, codes[0])
    label.set_sform(sform, codes[1])


def edited(**fields):
    """Set fields of the image's header as they are, past nibabel's own checks."""

    def change(image, label):
        for name, value in fields.items():
            image.header[name] = value

    return change


COARSE = np.diag([20.0, 20, 20, 1])
SWAPPED = np.diag([1.0, 1.0, 1.0, 1.0])[[1, 0, 2, 3]]
SHIFTED = np.eye(4) + np.array([[0, 0, 0, 40], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("shape", lambda i, m: (i, like(m, np.asarray(m.dataobj)[:-1]))),
        ("shape", lambda i, m: (i, like(m, np.asarray(m.dataobj).transpose(1, 0, 2)))),
        ("spacing-differs", lambda i, m: (i, like(m, affine=np.diag([1.0, 1, 3, 1])))),
        ("affine-differs", lambda i, m: moved(i, m, 50, 0, 0)),
        ("affine-differs", lambda i, m: moved(i, m, 0, 0.4, 0)),
        ("affine-differs", lambda i, m: (i, like(m, affine=np.diag([-1.0, 1, 1, 1])))),
        ("shape", lambda i, m: (i, like(m, affine=SWAPPED))),
        ("forms", lambda i, m: with_forms(i, m, np.eye(4), SHIFTED)),
        ("forms", lambda i, m: with_forms(i, m, np.eye(4), np.diag([-1.0, 1, 1, 1]), (1, 2))),
        ("affine", lambda i, m: with_forms(i, m, np.eye(4), np.diag([1.0, 1, 0, 1]))),
        ("units", lambda i, m: i.header.set_xyzt_units("meter")),
        ("not-finite", lambda i, m: (like(i, np.where(np.asarray(m.dataobj) > 0, np.nan, i.dataobj)), m)),
        ("not-finite", lambda i, m: (like(i, np.where(np.asarray(m.dataobj) > 0, np.inf, i.dataobj)), m)),
        ("not-finite", lambda i, m: (like(i, np.full(i.shape, 1e300)), m)),
        ("huge-values", lambda i, m: (like(i, np.asarray(i.dataobj) * 1e36), m)),
        ("dtype", lambda i, m: (like(i, np.asarray(i.dataobj).astype(np.complex64)), m)),
        ("dtype", lambda i, m: (like(i, np.zeros(i.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])), m)),
        ("axes", lambda i, m: (like(i, np.asarray(i.dataobj)[:, :, 0]), m)),
        ("channels", lambda i, m: (like(i, np.stack([i.dataobj] * 2, -1)), m)),
        ("label-channels", lambda i, m: (i, like(m, np.stack([m.dataobj] * 2, -1)))),
        ("label-values", lambda i, m: (i, like(m, np.asarray(m.dataobj) * 0.5))),
        ("label-values", lambda i, m: (i, like(m, np.asarray(m.dataobj).astype(np.int16) * -1))),
        ("label-values", lambda i, m: (i, like(m, np.where(np.asarray(m.dataobj) > 0, np.nan, 0.0)))),
        ("undeclared-label", lambda i, m: (i, like(m, np.asarray(m.dataobj) * 7))),
        ("label-is-image", lambda i, m: (like(m), m)),
    ],
)
def test_a_faulty_volume_is_an_error_of_its_case(tmp_path, own_cache, kind, change):
    report = check_folder(volumes(tmp_path / "set", change))
    assert found(report, "error") == {(kind, "c02")}
    fault = report.errors[0]
    assert fault.file.startswith(("imagesTr/c02", "labelsTr/c02")) and fault.what and fault.remedy


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("constant", lambda i, m: (like(i, np.ones(i.shape, np.float32)), m)),
        ("empty-label", lambda i, m: (i, like(m, np.zeros(m.shape, np.uint8)))),
        ("inverted", lambda i, m: (i, like(m, 1 - np.asarray(m.dataobj)))),
        ("forms", lambda i, m: with_forms(i, m, np.eye(4), SHIFTED, (1, 4))),
        ("odd-spacing", lambda i, m: (like(i, affine=COARSE), like(m, affine=COARSE))),
    ],
)
def test_what_may_be_meant_is_a_warning(tmp_path, own_cache, kind, change):
    report = check_folder(volumes(tmp_path / "set", change))
    assert not report.errors and found(report) == {(kind, "c02")}


def test_sound_volumes_have_no_fault_however_their_axes_run(tmp_path, own_cache):
    def turned(image, label):  # the same place in space, the axes stored in another order
        turn = nibabel.orientations.axcodes2ornt("LSA")
        return image.as_reoriented(turn), label

    report = check_folder(volumes(tmp_path / "set", turned))
    assert not report.faults
    assert any("different directions" in note for note in report.notes)
    assert report.facts["cases"] == 6 and report.facts["spacing"]["min"] == [1, 1, 1]
    assert report.facts["classes"][1]["cases"] == 6


def damaged(path, how):
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "without its last byte":
        path.write_bytes(content[:-1])
    elif how == "wrong checksum":
        path.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    elif how == "a web page":
        path.write_bytes(b"<!DOCTYPE html><html>not found</html>")
    elif how == "not packed":
        path.write_bytes(gzip.decompress(content))
    elif how == "a pickle":
        path.write_bytes(b"\x80\x04\x95" + b"x" * 400)
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a link to nothing":
        path.unlink()
        path.symlink_to(path.parent / "nowhere.nii.gz")
    else:  # fields of the header: (offset, format, values)
        header = bytearray(gzip.decompress(content))
        struct.pack_into(how[1], header, how[0], *how[2:])
        path.write_bytes(gzip.compress(bytes(header)))


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("truncated", "empty"),
        ("truncated", "truncated"),
        ("truncated", "without its last byte"),
        ("truncated", "wrong checksum"),
        ("wrong-ending", "a web page"),
        ("wrong-ending", "not packed"),
        ("wrong-ending", "a pickle"),
        ("unreadable", "a link to nothing"),
        ("too-large", (40, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)),
        ("no-voxels", (40, "<8h", 3, 16, 0, 10, 1, 1, 1, 1)),
        ("no-voxels", (40, "<8h", 3, 16, -12, 10, 1, 1, 1, 1)),
        ("truncated", (40, "<8h", 3, 16, 12, 11, 1, 1, 1, 1)),
        ("unreadable", (40, "<8h", 9, 16, 12, 10, 1, 1, 1, 1)),
        ("axes", (40, "<8h", 5, 16, 12, 10, 1, 1, 1, 1)),
        ("dtype", (70, "<h", 9999)),
        ("unreadable", (108, "<f", -3.0)),
        ("unreadable", (108, "<f", float("nan"))),
        ("spacing", (80, "<f", 0.0)),
        ("spacing", (84, "<f", float("nan"))),
        ("spacing", (80, "<f", 4.0)),  # and the sform says 1
        ("affine", (280, "<f", float("inf"))),
        ("huge-values", (112, "<f", 1e38)),
    ],
)
def test_a_damaged_volume_is_named_and_nothing_breaks(tmp_path, own_cache, kind, how):
    root = volumes(tmp_path / "set")
    damaged(root / "imagesTr" / "c02_0000.nii.gz", how)
    report = check_folder(root)
    assert (kind, "c02") in found(report, "error") and all(f.case == "c02" for f in report.errors)


@pytest.mark.parametrize(
    ("kind", "severity", "description"),
    [
        ("count", "error", {"numTraining": 7}),
        ("file-ending", "error", {"file_ending": ".nrrd"}),
        ("channels", "error", {"channel_names": {"0": "T1", "1": "T2"}}),
        ("absent-class", "warning", {"labels": {"background": 0, "organ": 1, "tumour": 2}}),
        ("description", "error", {"labels": {"background": 0, "organ": 2}}),
        ("description", "error", {"labels": {"background": 0, "organ": 1, "tumour": 1}}),
        ("description", "error", {"labels": {"background": 0, "whole": [1, 2]}}),
        ("description", "error", {"labels": {"background": 0, "organ": 1.5}}),
        ("description", "error", {"labels": ["background", "organ"]}),
        ("description", "error", {"labels": {"organ": 0, "background": 1}}),
        ("description", "error", {"channel_names": ["MRI"]}),
        ("listed", "error", {"training": [{"image": "./imagesTr/c99.nii.gz", "label": "./labelsTr/c99.nii.gz"}]}),
        ("path", "error", {"training": [{"image": "../../secret.nii.gz", "label": "/etc/c00.nii.gz"}]}),
        ("window", "warning", {"channel_names": {"0": "ct"}}),
    ],
)
def test_what_dataset_json_says_wrongly_is_named(tmp_path, own_cache, kind, severity, description):
    def unlike_a_liver(image, label):
        return like(image, np.asarray(image.dataobj) * 100 - 800), label

    root = volumes(tmp_path / "set", description=description)
    if kind == "window":
        for path in (root / "imagesTr").iterdir():
            nibabel.save(unlike_a_liver(nibabel.load(path), None)[0], path)
    kinds = {f.kind for f in check_folder(root).faults if f.severity == severity}
    assert kind in kinds and kinds <= {kind, "undeclared-label", "listed"}


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {"liver": 0, "liver": 1}}', "[" * 100_000, "\xff\xfe"])
def test_a_dataset_json_that_is_none_is_named(tmp_path, own_cache, text):
    root = volumes(tmp_path / "set")
    (root / "dataset.json").write_text(text)
    assert any(f.kind == "description" and f.file == "dataset.json" for f in check_folder(root).errors)


def test_a_byte_order_mark_is_passed_over_and_said(tmp_path, own_cache):
    root = volumes(tmp_path / "set")
    (root / "dataset.json").write_bytes(b"\xef\xbb\xbf" + (root / "dataset.json").read_bytes())
    report = check_folder(root)
    assert not report.faults and "byte order mark" in report.notes[0]


def test_an_ignore_label_is_no_class(tmp_path, own_cache):
    labels = {"background": 0, "organ": 1, "ignore": 2}

    def unsure(image, label):
        values = np.asarray(label.dataobj).copy()
        values[0] = 2
        return image, like(label, values)

    report = check_folder(volumes(tmp_path / "set", description={"labels": labels}))
    assert not report.faults and [c["name"] for c in report.facts["classes"]] == ["background", "organ"]
    report = check_folder(volumes(tmp_path / "other", unsure, description={"labels": labels}))
    assert not report.faults and any("Label 2 is one to ignore: 1 label map" in note for note in report.notes)
    data = Folder(tmp_path / "other")
    assert (data.classes, data.ignore) == (("background", "organ"), 2) and 2 in data.read("c02").label
    with pytest.raises(LightMError, match=r"says to ignore label 2, and classes=.* names it"):
        Folder(tmp_path / "other", classes=["background", "organ", "part"])


def test_test_images_that_were_trained_on_are_an_error(tmp_path, own_cache):
    root = volumes(tmp_path / "set")
    (root / "imagesTs").mkdir()
    nibabel.save(nibabel.load(root / "imagesTr" / "c03_0000.nii.gz"), root / "imagesTs" / "new_0000.nii.gz")
    report = check_folder(root)
    assert found(report, "error") == {("duplicate", "new")}
    assert "both trained and tested on" in report.errors[0].what and report.facts["test_images"] == 1


def test_all_empty_labels_are_an_error(tmp_path, own_cache):
    root = volumes(tmp_path / "set")
    for path in (root / "labelsTr").iterdir():
        label = nibabel.load(path)
        nibabel.save(like(label, np.zeros(label.shape, np.uint8)), path)
    assert ("all-empty", "") in found(check_folder(root), "error")


def test_the_labels_of_a_case_may_be_missing_a_channel(tmp_path, own_cache):
    root = volumes(tmp_path / "set", description={"channel_names": {"0": "T1", "1": "T2"}})
    for path in sorted((root / "imagesTr").iterdir()):
        second = nibabel.load(path)
        nibabel.save(like(second, np.asarray(second.dataobj) + 1), path.with_name(path.name.replace("_0000", "_0001")))
    assert not check_folder(root).faults
    (root / "imagesTr" / "c01_0000.nii.gz").unlink()
    assert found(check_folder(root), "error") == {("channels", "c01")}


def test_the_report_is_readable_and_json(tmp_path, own_cache):
    report = check_folder(volumes(tmp_path / "set", lambda i, m: moved(i, m, 50, 0, 0)))
    content = json.loads(json.dumps(report.to_dict()))
    assert content["errors"] == 1 and content["faults"][0]["file"] == "labelsTr/c02.nii.gz"
    assert "up to 50 mm" in report.text() and report.text().endswith("mend the errors before you train on it.")


def test_channels_may_lie_in_one_file_if_there_are_as_many_as_declared(tmp_path, own_cache):
    root = volumes(tmp_path / "set", description={"channel_names": {"0": "T1", "1": "T2"}})
    assert {f.what for f in check_folder(root).errors} == {"has 1 channel(s), but dataset.json declares 2 (T1, T2)"}
    for path in (root / "imagesTr").iterdir():
        image = nibabel.load(path)
        nibabel.save(like(image, np.stack([image.dataobj, np.asarray(image.dataobj) + 1], -1)), path)
    report = check_folder(root)
    assert not report.faults and report.facts["channels"] == 2
