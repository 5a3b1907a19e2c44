"""A trained run on new images: label maps in the image's own place, scores that come out again, mistakes named."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from tiny import cheaply

from lightm.data import load_dataset
from lightm.data.images import read_image, write_volume
from lightm.errors import LightMError
from lightm.inference import Predictor, evaluate_run, predict_file
from lightm.training.metrics import dice_iou


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return Predictor(tiny_run[0], device="cpu")


@pytest.fixture(scope="module")
def radiograph(tiny_run, tmp_path_factory):
    """A PNG of the first test case, and what the record says of it."""
    scores = tiny_run[1]["test_native"]["cases"][0]
    case = load_dataset("phantom-cxr", cases=20, size=24).read(scores["case"])
    path = tmp_path_factory.mktemp("images") / "case.png"
    Image.fromarray(case.image[0].astype(np.uint8)).save(path)
    return path, case, scores


@pytest.fixture(scope="module")
def volume(volume_run, tmp_path_factory):
    """A NIfTI of the first test case of the 3D run."""
    case = load_dataset("phantom-ct", cases=10, size=[20, 16, 24]).read(volume_run[1]["test"]["cases"][0]["case"])
    path = tmp_path_factory.mktemp("volumes") / "case.nii.gz"
    write_volume(path, case.image[0], (2.0, 1.5, 3.0))
    return path


def test_a_predicted_picture_has_the_scores_of_the_record(tiny_run, radiograph, tmp_path):
    path, case, scores = radiograph
    shares = predict_file(tiny_run[0], path, tmp_path / "lungs.png")
    label = np.array(Image.open(tmp_path / "lungs.png"))
    assert label.shape == case.label.shape == (24, 24) and label.dtype == np.uint8
    dsc, iou = dice_iou(torch.from_numpy(label)[None], torch.from_numpy(case.label)[None], 2)
    assert (dsc.item(), iou.item()) == (scores["dsc"]["lung"], scores["iou"]["lung"])
    assert shares == {"background": (label == 0).mean(), "lung": (label == 1).mean()} and 0 < shares["lung"] < 1


def test_a_gray_jpeg_in_colour_gives_what_the_gray_one_gives(predictor, radiograph, tmp_path):
    gray = Image.open(radiograph[0])
    gray.save(tmp_path / "gray.jpg"), gray.convert("RGB").save(tmp_path / "colour.png")
    Image.open(tmp_path / "gray.jpg").convert("RGB").save(tmp_path / "both.png")
    for name in ("gray.jpg", "both.png"):
        predict_file(predictor, tmp_path / name, tmp_path / f"{name}.label.png")
    labels = [(tmp_path / f"{name}.label.png").read_bytes() for name in ("gray.jpg", "both.png")]
    assert labels[0] == labels[1]


def test_a_colour_picture_is_used_as_gray_and_a_turned_one_upright_and_both_is_said(predictor, tmp_path, caplog):
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 16, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colours.save(tmp_path / "photo.png", exif=exif)
    colours.convert("L").transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    for name in ("photo", "upright"):
        predict_file(predictor, tmp_path / f"{name}.png", tmp_path / f"{name}-mask.png")
    assert (tmp_path / "photo-mask.png").read_bytes() == (tmp_path / "upright-mask.png").read_bytes()
    said = [record.getMessage().partition("photo.png ")[2] for record in caplog.records]
    assert said == ["was turned as its EXIF data asks.", "has colours: the network was given its shades of gray."]


def test_a_predicted_volume_lies_where_the_image_lies_however_its_axes_run(volume_run, volume, tmp_path):
    predictor = Predictor(volume_run[0], device="cpu")
    predictor.model.register_forward_hook(lambda _, args, out: out - out.mean((2, 3, 4), keepdim=True))  # all classes
    predict_file(predictor, volume, tmp_path / "a.nii.gz")
    image = nibabel.load(volume)
    turned = image.as_reoriented(np.array([[2, 1], [0, -1], [1, 1]]))  # axes permuted, one mirrored
    nibabel.save(turned, tmp_path / "turned.nii")
    predict_file(predictor, tmp_path / "turned.nii", tmp_path / "b.nii")
    first, second = nibabel.load(tmp_path / "a.nii.gz"), nibabel.load(tmp_path / "b.nii")
    assert first.shape == image.shape and np.allclose(first.affine, image.affine)
    assert second.shape == turned.shape and np.allclose(second.affine, turned.affine)
    back = second.as_reoriented(nibabel.orientations.ornt_transform(*map(_orientation, (second, first))))
    assert np.array_equal(np.asarray(back.dataobj), np.asarray(first.dataobj))
    assert len(np.unique(np.asarray(first.dataobj))) == 3  # or all of this would say nothing


def _orientation(image):
    return nibabel.orientations.io_orientation(image.affine)


def test_a_sliding_window_of_the_whole_image_is_the_plain_prediction(predictor):
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    torch.testing.assert_close(predictor.logits(image, sliding=True), predictor.logits(image), rtol=1e-4, atol=1e-4)


def test_a_sliding_window_keeps_the_resolution_of_a_larger_volume(volume_run, volume, tmp_path):
    predictor = Predictor(volume_run[0], device="cpu")
    shapes = []
    predictor.model.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    image = torch.from_numpy(read_image(volume).values)
    logits = predictor.logits(image, sliding=True)
    assert logits.shape == (3, 20, 16, 24) and logits.isfinite().all()
    assert {shape[2:] for shape in shapes} == {(8, 8, 8)} and sum(shape[0] for shape in shapes) == 4 * 3 * 5
    predict_file(predictor, volume, tmp_path / "label.nii.gz", sliding=True)
    assert nibabel.load(tmp_path / "label.nii.gz").shape == nibabel.load(volume).shape


def test_nothing_is_overwritten_unless_asked(predictor, radiograph, tmp_path):
    path, out = radiograph[0], tmp_path / "lungs.png"
    out.write_text("mine")
    with pytest.raises(LightMError, match="exists already; choose another name, or replace it with --force"):
        predict_file(predictor, path, out)
    assert out.read_text() == "mine"
    predict_file(predictor, path, out, force=True)
    assert Image.open(out).size == (24, 24)
    with pytest.raises(LightMError, match="is the image itself"):
        predict_file(predictor, path, path, force=True)


def test_an_output_that_can_not_be_written_whole_leaves_nothing(predictor, radiograph, tmp_path, monkeypatch):
    def full(image, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OSError, match="No space left"):
        predict_file(predictor, radiograph[0], tmp_path / "lungs.png")
    assert not list(tmp_path.iterdir())


def test_an_image_that_does_not_fit_is_named_and_nothing_written(predictor, radiograph, volume, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    tifffile.imwrite(folder / "colour.tif", rng.integers(0, 2**16, (24, 24, 3), dtype=np.uint16))
    (folder / "cut.png").write_bytes(radiograph[0].read_bytes()[:100])
    (folder / "notes.txt").write_text("no image")
    for name, sentence in (
        ("colour.tif", "has 3 channels and the network of .* takes 1; convert it to gray"),
        ("cut.png", "is damaged or incomplete"),
        ("notes.txt", "can't read this kind of file"),
        ("none.png", r"There is no file .*none\.png"),
    ):
        with pytest.raises(LightMError, match=sentence):
            predict_file(predictor, folder / name, tmp_path / "out.png")
    with pytest.raises(LightMError, match=r"is 3D and the network of .* 2D; give it a picture"):
        predict_file(predictor, volume, tmp_path / "out.nii.gz")
    with pytest.raises(LightMError, match=r"give a name that ends in \.png"):
        predict_file(predictor, radiograph[0], tmp_path / "out.nii.gz")
    with pytest.raises(LightMError, match=r"There is no folder .*none; make it"):
        predict_file(predictor, radiograph[0], tmp_path / "none" / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_nan_in_a_volume_is_refused(volume_run, volume, tmp_path):
    image = nibabel.load(volume)
    values = image.get_fdata(dtype=np.float32)
    values[3, 3, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, image.affine), tmp_path / "nan.nii.gz")
    with pytest.raises(LightMError, match=r"nan\.nii\.gz holds NaN or infinite values; repair the file"):
        predict_file(volume_run[0], tmp_path / "nan.nii.gz", tmp_path / "out.nii.gz")
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_folder_that_is_no_whole_run_is_named(tiny_run, radiograph, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(LightMError, match="There is no run folder"):
        Predictor(run)
    run.mkdir()
    with pytest.raises(LightMError, match=r"is not a run folder: it has no config\.toml"):
        Predictor(run)
    shutil.copy(tiny_run[0] / "config.toml", run)
    with pytest.raises(LightMError, match="has no best checkpoint yet"):
        Predictor(run)
    shutil.copytree(tiny_run[0] / "best", run / "best")
    weights = run / "best" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LightMError, match=r"model\.safetensors is missing, damaged or was edited"):
        Predictor(run)


@pytest.mark.parametrize("part", ["test", "val"])
def test_an_evaluation_anywhere_gives_the_scores_of_the_record(tiny_run, tmp_path, monkeypatch, part):
    out, record = tiny_run
    shutil.copytree(out, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    counted = []
    with cheaply():
        result = evaluate_run("moved", part, scoring=lambda done, total: counted.append((done, total)))
    if part == "test":
        assert (result["scores"], result["native"]) == (record["test"], record["test_native"])
        assert counted == [(4, 4)]
    else:
        assert result["scores"]["summary"]["dsc"]["mean"] == record["best"]["val_dsc"]
    assert result["epoch"] == record["best"]["epoch"]


def test_an_evaluation_on_other_data_or_another_split_is_refused(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run[0], run)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("size = 24", "size = 32"))
    with pytest.raises(LightMError, match=r"was edited since the training: data\.options\.size is 32, there 24"):
        evaluate_run(run)
    (run / "config.toml").write_text(config)
    split = json.loads((run / "split.json").read_text())
    split["test"][0], split["train"][0] = split["train"][0], split["test"][0]
    (run / "split.json").write_text(json.dumps(split))
    with pytest.raises(LightMError, match="was altered"):
        evaluate_run(run)
