"""`lightm predict`: folders, channels, series; headers that are kept; interrupted, harmed and gone on with."""

import json
import locale
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from tiny import MODEL, train

from lightm.cli import main
from lightm.data.images import read_image
from lightm.errors import LightMError
from lightm.inference import Predictor, predict, predict_file
from lightm.inference.inputs import find_inputs
from lightm.training.config import config_from_dict


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return Predictor(tiny_run[0], device="cpu")


@pytest.fixture(scope="module")
def volumes(volume_run):
    return Predictor(volume_run[0], device="cpu")


@pytest.fixture
def radiographs(tmp_path):
    """Four pictures of noise and two other files."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        values = np.random.default_rng(i).integers(0, 255, (30, 26), np.uint8)
        Image.fromarray(values).save(folder / f"c{i}.png")
    (folder / "notes.txt").write_text("x"), (folder / ".DS_Store").write_text("x")
    return folder


@pytest.fixture
def scan(tmp_path):
    """A NIfTI whose header says a good deal: two forms with codes, units, a description, a slope, an extension."""
    values = np.random.default_rng(0).integers(-500, 500, (12, 10, 9)).astype(np.int16)
    affine = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -7], [0, 0, 3.0, 4], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, 4), image.set_qform(affine, 1)
    header = image.header
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(2.0, -3.0)
    header["descrip"], header["cal_max"] = b"phantom 7", 400
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^John"))
    path = tmp_path / "scan.nii.gz"
    nibabel.save(image, path)
    return path


def test_a_label_map_keeps_the_header_of_its_image(volumes, scan, tmp_path):
    predict_file(volumes, scan, tmp_path / "label.nii.gz")
    before, after = nibabel.load(scan), nibabel.load(tmp_path / "label.nii.gz")
    assert after.get_data_dtype() == np.uint8 and np.array_equal(after.affine, before.affine)
    for name in ("qform_code", "sform_code", "xyzt_units", "descrip", "pixdim", "dim"):
        assert np.array_equal(after.header[name], before.header[name]), name
    assert np.array_equal(after.get_sform(), before.get_sform()) and np.allclose(after.get_qform(), before.get_qform())
    assert (after.header["cal_max"], after.header.get_slope_inter()) == (0, (None, None))
    assert not after.header.extensions and set(np.unique(after.dataobj)) <= {0, 1, 2}
    nibabel.save(nibabel.Nifti2Image(before.dataobj, before.affine), tmp_path / "two.nii")
    predict_file(volumes, tmp_path / "two.nii", tmp_path / "two_label.nii")
    assert isinstance(nibabel.load(tmp_path / "two_label.nii"), nibabel.Nifti2Image)


def test_probabilities_add_up_and_their_largest_is_the_label(predictor, volumes, radiographs, scan, tmp_path):
    predict(volumes, [scan], tmp_path / "label.nii.gz", probabilities=True)
    values = nibabel.load(tmp_path / "label_probabilities.nii.gz")
    assert values.shape == (12, 10, 9, 3) and np.array_equal(values.affine, nibabel.load(scan).affine)
    label = np.asarray(nibabel.load(tmp_path / "label.nii.gz").dataobj)
    assert np.allclose(values.get_fdata().sum(-1), 1, atol=1e-5)
    assert np.array_equal(values.get_fdata().argmax(-1), label)
    predict(predictor, [radiographs / "c1.png"], tmp_path / "mask.png", probabilities=True)
    values = tifffile.imread(tmp_path / "mask_probabilities.tif")
    assert values.shape == (2, 30, 26) and np.array_equal(values.argmax(0), np.array(Image.open(tmp_path / "mask.png")))


def test_a_folder_gives_a_folder_and_a_second_call_does_nothing(predictor, radiographs, tmp_path):
    out, reports = tmp_path / "out", []
    left_out = predict(predictor, [radiographs], out, report=lambda path, shares: reports.append(shares))
    assert sorted(p.name for p in out.iterdir()) == ["c0.png", "c1.png", "c2.png", "c3.png", "predictions.json"]
    assert left_out == ["notes.txt"] and all(set(shares) == {"background", "lung"} for shares in reports)
    single = tmp_path / "one.png"
    predict(predictor, [radiographs / "c2.png"], single)
    assert single.read_bytes() == (out / "c2.png").read_bytes()
    dates = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    reports.clear()
    predict(predictor, [radiographs], out, report=lambda path, shares: reports.append(shares))
    assert reports == [None] * 4 and dates == {p: p.stat().st_mtime_ns for p in out.iterdir()}
    said = json.loads((out / "predictions.json").read_text())
    assert said["weights"] == predictor.weights_hash() and said["classes"] == ["background", "lung"]


def test_what_is_gone_or_whose_image_is_another_is_made_anew(predictor, radiographs, tmp_path):
    out, made = tmp_path / "out", []
    predict(predictor, [radiographs], out)
    (out / "c1.png").unlink()
    shutil.copy(radiographs / "c0.png", radiographs / "c3.png")
    predict(predictor, [radiographs], out, report=lambda path, shares: made.append(shares is not None))
    assert made == [False, True, False, True]
    assert (out / "c3.png").read_bytes() == (out / "c0.png").read_bytes()


@pytest.mark.parametrize("what", ["a stranger", "an edited file", "other weights", "a damaged journal", "sliding"])
def test_what_this_command_did_not_make_is_not_replaced(predictor, radiographs, tmp_path, what):
    out, options = tmp_path / "out", {}
    if what == "a stranger":
        out.mkdir(), (out / "c2.png").write_bytes(b"mine")
    else:
        predict(predictor, [radiographs], out)
    journal = out / "predictions.json"
    if what == "an edited file":
        (out / "c2.png").write_bytes(b"mine")
    elif what == "other weights":
        journal.write_text(journal.read_text().replace(predictor.weights_hash(), "0" * 64))
    elif what == "a damaged journal":
        journal.write_text("{")
    elif what == "sliding":
        options["sliding"] = True
    before = {p: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(LightMError, match="replace what is there with --force"):
        predict(predictor, [radiographs], out, **options)
    assert before == {p: p.read_bytes() for p in out.iterdir()}
    predict(predictor, [radiographs], out, force=True, **options)
    assert Image.open(out / "c2.png").size == (26, 30)


def test_an_image_that_can_not_be_segmented_does_not_stop_the_others(predictor, radiographs, tmp_path):
    (radiographs / "c1.png").write_bytes((radiographs / "c1.png").read_bytes()[:80])
    (radiographs / "c3.png").write_bytes(b"")
    both = r"2 of 4 images could not be segmented: .*c1\.png is damaged.* .*c3\.png is empty"
    with pytest.raises(LightMError, match=both):
        predict(predictor, [radiographs], tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["c0.png", "c2.png"]


def test_colours_that_are_no_whole_numbers_are_refused_and_not_rounded(predictor, tmp_path):
    values = np.random.default_rng(0).random((8, 9, 3), dtype=np.float32)
    tifffile.imwrite(tmp_path / "colour.tif", values, photometric="rgb")
    with pytest.raises(LightMError, match=r"colour\.tif has 3 channels .* convert it to gray"):
        predict_file(predictor, tmp_path / "colour.tif", tmp_path / "lungs.png")
    assert not (tmp_path / "lungs.png").exists()


def test_label_maps_never_go_where_the_images_are(predictor, radiographs):
    before = {p: p.read_bytes() for p in radiographs.iterdir()}
    with pytest.raises(LightMError, match="is where the images are; name another folder"):
        predict(predictor, [radiographs], radiographs, force=True)
    assert before == {p: p.read_bytes() for p in radiographs.iterdir()}


def test_several_images_do_not_go_to_one_file(predictor, radiographs, tmp_path):
    with pytest.raises(LightMError, match=r"out\.png is the name of one file, and 4 image\(s\)"):
        predict(predictor, [radiographs], tmp_path / "out.png")
    predict(predictor, sorted(radiographs.glob("*.png"))[:2], tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_killed_prediction_goes_on_and_leaves_nothing_by_halves(tiny_run, radiographs, tmp_path):
    for i in range(4, 40):
        shutil.copy(radiographs / f"c{i % 4}.png", radiographs / f"c{i}.png")
    out, code = tmp_path / "out", "from lightm.cli import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", str(tiny_run[0]), str(radiographs), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and len(list(out.glob("c*.png"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {p.name: p.stat().st_mtime_ns for p in out.glob("c*.png")}
    for name in there:
        Image.open(out / name).load()
    assert 3 <= len(there) < 40
    predict(tiny_run[0], [radiographs], out)
    assert len(list(out.glob("*.png"))) == 40 and not list(out.glob(".*"))
    kept = [name for name, date in there.items() if (out / name).stat().st_mtime_ns == date]
    assert len(kept) >= len(there) - 1  # the one that was being written may be made anew


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory):
    """A run on pairs of pictures, one file a channel, and its folder of images."""
    root = tmp_path_factory.mktemp("pairs")
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir()
    for i in range(10):
        rng = np.random.default_rng(i)
        for channel in range(2):
            values = rng.integers(0, 255, (16, 16), np.uint8)
            Image.fromarray(values).save(root / "imagesTr" / f"p{i}_000{channel}.png")
        Image.fromarray((values > 128).astype(np.uint8)).save(root / "labelsTr" / f"p{i}.png")
    table = {
        "data": {"name": "folder", "root": str(root), "size": [16, 16]},
        "model": {"options": MODEL},
        "train": {"epochs": 1, "batch_size": 4},
    }
    train(config_from_dict(table), root / "run")
    return root / "run", root / "imagesTr"


def test_the_pair_that_a_network_was_trained_on_is_what_it_takes(two_channels, tmp_path):
    run, images = two_channels
    predictor = Predictor(run, device="cpu")
    first, second = images / "p3_0000.png", images / "p3_0001.png"
    for number, inputs in enumerate(([first], [first, second], [second, first])):
        predict(predictor, inputs, tmp_path / f"{number}.png")
    labels = [(tmp_path / f"{number}.png").read_bytes() for number in range(3)]
    assert labels[0] == labels[1] == labels[2]
    predict(predictor, [images], tmp_path / "all")
    assert len(list((tmp_path / "all").glob("*.png"))) == 10
    assert (tmp_path / "all" / "p3.png").read_bytes() == labels[0]
    shutil.copy(first, tmp_path / "t1.png"), shutil.copy(second, tmp_path / "t2.png")
    predict(predictor, [tmp_path / "t1.png", tmp_path / "t2.png"], tmp_path / "named.png")
    assert (tmp_path / "named.png").read_bytes() == labels[0]
    shutil.copy(first, tmp_path / "lone_0000.png")
    with pytest.raises(LightMError, match=r"lone_0000\.png has 1 channels and .* takes 2; give one file .*NAME_0000"):
        predict(predictor, [tmp_path / "lone_0000.png"], tmp_path / "x.png")


def test_how_files_become_cases(tmp_path):
    def cases(names, channels):
        folder = tmp_path / "_".join(names)
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"x")
        return {case.case_id: [f.name for f in case.files] for case in find_inputs([folder], channels)[0]}

    assert cases(["a_0000.png", "b_0000.png"], 1) == {"a": ["a_0000.png"], "b": ["b_0000.png"]}
    assert cases(["a_0001.png", "a_0002.png"], 1) == {"a_0001": ["a_0001.png"], "a_0002": ["a_0002.png"]}
    assert cases(["b_0001.png", "b_0000.png", "c.png"], 2) == {"b": ["b_0000.png", "b_0001.png"], "c": ["c.png"]}
    with pytest.raises(LightMError, match=r"a has a_0000\.png, but the network takes 2 channels"):
        cases(["a_0000.png", "c.png"], 2)
    with pytest.raises(LightMError, match=r"a\.jpg, a\.png have one name"):
        cases(["a.png", "a.jpg"], 1)
    (tmp_path / "set" / "imagesTs").mkdir(parents=True)
    with pytest.raises(LightMError, match=r"no image that can be read; name the one that does, such as .*imagesTs"):
        find_inputs([tmp_path / "set"], 1)


def test_a_dicom_series_is_one_image_and_a_folder_of_them_several(volumes, scan, tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="needs the extra formats")
    values, writer = sitk.Cast(sitk.ReadImage(str(scan)), sitk.sitkInt16), sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    kept = locale.setlocale(locale.LC_ALL)  # GDCM's writer leaves the whole process in the locale "C"
    for name in ("one", "two"):
        (tmp_path / "series" / name).mkdir(parents=True)
        for z in range(values.GetSize()[2]):
            piece = values[:, :, z]
            for key, text in (("0020|000e", "1.2"), ("0020|0032", f"0\\0\\{z * 3}"), ("0008|0018", f"1.2.{z}")):
                piece.SetMetaData(key, text)
            writer.SetFileName(str(tmp_path / "series" / name / f"{z}.dcm"))
            writer.Execute(piece)
    locale.setlocale(locale.LC_ALL, kept)
    predict(volumes, [tmp_path / "series" / "one"], tmp_path / "one.nii.gz")
    made = nibabel.load(tmp_path / "one.nii.gz")
    assert made.header.get_xyzt_units()[0] == "mm" and read_image(tmp_path / "one.nii.gz").values.shape[0] == 1
    predict(volumes, [tmp_path / "series"], tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"one.nii.gz", "two.nii.gz", "predictions.json"}


def test_a_weights_file_predicts_as_its_run_does(tiny_run, predictor, radiographs, tmp_path):
    shutil.copy(tiny_run[0] / "best" / "model.safetensors", tmp_path / "lungs.safetensors")
    alone = Predictor(tmp_path / "lungs.safetensors", device="cpu")
    image = torch.rand(1, 30, 26, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.equal(alone.logits(image), predictor.logits(image))
    assert main(["predict", str(tmp_path / "lungs.safetensors"), str(radiographs), str(tmp_path / "out")]) == 0


def test_weights_that_do_not_say_the_size_of_their_images_are_refused(tiny_run, tmp_path):
    from safetensors.torch import load_file, save_file

    said = {"model": {"name": "lightm-unet", "options": MODEL}}
    said["task"] = {"spatial_dims": 2, "in_channels": 1, "classes": ["background", "lung"], "normalise": "zscore"}
    tensors = load_file(tiny_run[0] / "best" / "model.safetensors")
    save_file(tensors, tmp_path / "old.safetensors", {"lightm": json.dumps(said)})
    with pytest.raises(LightMError, match="does not say how its images are prepared"):
        Predictor(tmp_path / "old.safetensors")


def test_a_network_of_patches_keeps_the_resolution_and_resamples_to_its_spacing(tmp_path):
    table = {
        "data": {
            "name": "phantom-ct",
            "size": [8, 8, 8],
            "options": {"cases": 10, "size": [20, 16, 24]},
            "sampling": "patches",
            "spacing": [20.0, 20.0, 20.0],
        },
        "model": {"options": MODEL},
        "train": {"epochs": 1, "batch_size": 4},
    }
    train(config_from_dict(table), tmp_path / "run")
    predictor, seen = Predictor(tmp_path / "run", device="cpu"), []
    predictor.model.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    image = torch.rand(1, 20, 10, 10)
    with pytest.raises(LightMError, match="say the spacing of this one"):
        predictor.logits(image)
    windows = []
    logits = predictor.logits(image, spacing=(20, 10, 20), progress=lambda done, total: windows.append((done, total)))
    assert logits.shape == (3, 20, 10, 10) and windows[-1] == (4 * 1 * 2, 4 * 1 * 2)
    assert sum(len(shape) and shape[0] for shape in seen) == 8 and all(shape[2:] == (8, 8, 8) for shape in seen)
