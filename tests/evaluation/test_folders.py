"""Two folders of masks, scored; what is said of them; the statistics behind it."""

import json
import re
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from lightm.cli import main
from lightm.errors import LightMError
from lightm.evaluation import compare_folders, evaluate_folders
from lightm.evaluation.page import page
from lightm.evaluation.statistics import interval, paired_test
from lightm.evaluation.summary import sentence, text, to_json


def save(folder, name, values, affine=None):
    folder.mkdir(exist_ok=True)
    affine = np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(np.asarray(values, np.uint8), affine), folder / f"{name}.nii.gz")


def cube(size, value=1, start=2):
    values = np.zeros((12, 12, 12), np.uint8)
    values[start : start + size, 2:8, 2:8] = value
    return values


@pytest.fixture
def folders(tmp_path):
    """Six cases of one class; case5 is in neither, case4 is missed, case3 is invented."""
    for i in range(6):
        true = cube(0) if i in (3, 5) else cube(6)
        pred = cube(0) if i in (4, 5) else cube(3 + i)
        save(tmp_path / "pred", f"case{i}", pred)
        save(tmp_path / "labels", f"case{i}", true)
    return tmp_path / "pred", tmp_path / "labels"


def test_cases_states_and_means(folders):
    result = evaluate_folders(*folders, classes=["background", "organ"])
    (entry,) = result["summary"].values()
    assert entry["states"] == {"scored": 3, "missed": 1, "invented": 1, "absent": 1}
    expected = [2 * n / (n + 6) for n in (3, 4, 5)] + [0, 0]
    assert entry["dsc"]["mean"] == pytest.approx(np.mean(expected)) and entry["dsc"]["excluded"] == 1
    assert (entry["hd95"]["n"], entry["hd95"]["excluded"], entry["rvd"]["n"]) == (3, 3, 4)
    assert result["cases"][0]["scores"]["organ"]["hd95"] == 3 and result["unit"] == "mm"
    assert result["cases"][0]["scores"]["organ"]["true_volume"] == 6**3 * 2
    said = sentence(result)
    assert "Mean over 6 cases, organ: DSC 0.475" in said and "1 case(s) without organ" in said
    assert "2 case(s) with organ in one of the two have no distance" in said


def test_the_report_holds_no_request_and_survives_hostile_names(folders):
    pred, labels = folders
    for folder in folders:
        (folder / "case0.nii.gz").rename(folder / "case<img src=x onerror=alert(1)>&.nii.gz")
    result = evaluate_folders(pred, labels, classes=["background", "<b>organ</b>"])
    html = page(result)
    assert "<img src=x" not in html and "<b>organ" not in html and "&lt;b&gt;organ" in html
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", html) and "<script" not in html and "http:" not in html
    assert html.count("<figure>") == 2 + 3 and html.count(' alt="') == html.count("<img ")
    assert html == page(result)


def test_json_has_no_nan(folders):
    content = json.loads(to_json(evaluate_folders(*folders)), parse_constant=lambda name: pytest.fail(name))
    assert content["cases"][5]["scores"]["1"]["dsc"] is None and content["cases"][4]["scores"]["1"]["dsc"] == 0


def test_masks_of_pictures_are_in_pixels_unless_the_spacing_is_given(tmp_path):
    for folder, shift in (("pred", 3), ("labels", 0)):
        (tmp_path / folder).mkdir()
        values = np.zeros((20, 20), np.uint8)
        values[5:10, 5 + shift : 10 + shift] = 255
        Image.fromarray(values).save(tmp_path / folder / "a.png")
    result = evaluate_folders(tmp_path / "pred", tmp_path / "labels")
    assert result["unit"] == "pixels" and result["cases"][0]["scores"]["1"]["hd95"] == 3
    result = evaluate_folders(tmp_path / "pred", tmp_path / "labels", spacing=(0.5, 0.2))
    assert result["unit"] == "mm" and result["cases"][0]["scores"]["1"]["hd95"] == pytest.approx(0.6)
    assert result["cases"][0]["scores"]["1"]["true_volume"] == pytest.approx(2.5)
    with pytest.raises(LightMError, match="does not suit case a, which has 2 axes"):
        evaluate_folders(tmp_path / "pred", tmp_path / "labels", spacing=(1, 1, 1))


def test_files_beside_the_masks_do_not_matter_and_extra_predictions_are_said(folders):
    pred, labels = folders
    (pred / "plans.json").write_text("{}")
    (pred / "case0.npz").write_bytes(b"x")
    save(pred, "extra", cube(2))
    result = evaluate_folders(pred, labels)
    assert result["unscored"] == ["extra"] and "1 prediction(s) without a label map" in text(result)


def test_dataset_json_names_classes_and_the_label_to_ignore(folders):
    pred, labels = folders
    (labels.parent / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "organ": 1, "ignore": 7}}))
    unsure = cube(6)
    unsure[5:8][unsure[5:8] > 0] = 7  # the prediction of case0 is right in what is left
    save(labels, "case0", unsure)
    result = evaluate_folders(pred, labels)
    assert result["classes"] == {"1": "organ"} and result["cases"][0]["scores"]["organ"]["dsc"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, m: (p / "case1.nii.gz").unlink(), r"1 of 6 label maps .* have no prediction .* 'case1'"),
        (lambda p, m: save(p, "case1", np.zeros((12, 12, 11))), r"case1.* is 12 x 12 x 11, but the label map is 12"),
        (lambda p, m: save(p, "case1", cube(3), np.eye(4)), r"spacing 1 x 1 x 1 mm, but the label map 1 x 1 x 2"),
        (lambda p, m: save(p, "case1", cube(3), np.diag([-1.0, 1, 2, 1])), r"mirrored or turned .*--accept-geometry"),
        (lambda p, m: save(p, "case1", cube(3, value=4)), r"case1: .* holds the value 4, but the classes are 0 to 1"),
        (lambda p, m: shutil.copy(p / "case1.nii.gz", p / "case1.nrrd"), r"two files for the case 'case1'"),
        (lambda p, m: (p / "case1.nii.gz").write_bytes(b""), r"case1.nii.gz is empty"),
        (lambda p, m: [f.unlink() for f in p.iterdir()], r"holds no prediction"),
        (lambda p, m: shutil.rmtree(p), r"There is no folder"),
    ],
)
def test_what_can_not_be_scored_is_named(folders, change, words):
    change(*folders)
    with pytest.raises(LightMError, match=words):
        evaluate_folders(*folders, classes=["background", "organ"])


def test_masks_with_wrong_headers_are_compared_on_request(folders):
    save(folders[0], "case1", cube(4), np.diag([-1.0, 1, 2, 1]))
    result = evaluate_folders(*folders, accept_geometry=True)
    assert result["cases"][1]["scores"]["1"]["dsc"] < 0.8  # turned by its header as it was read


def test_the_command_writes_json_and_page_and_compares(folders, tmp_path, capsys):
    pred, labels = folders
    other = shutil.copytree(pred, tmp_path / "other")
    for i in range(3):
        save(other, f"case{i}", cube(6))
    out, html = tmp_path / "scores.json", tmp_path / "scores.html"
    arguments = f"evaluate --predictions {other} --labels {labels} --against {pred} --json {out} --html {html}"
    assert main(arguments.split()) == 0
    printed = capsys.readouterr().out
    assert "3 scored, 1 missed, 1 invented, 1 absent" in printed and "better" in printed
    difference = json.loads(out.read_text())["comparison"]["difference"]["1"]["dsc"]
    assert difference["n"] == 5 and difference["better"] == 3 and difference["p"] == pytest.approx(0.25)
    assert "Paired comparison" in html.read_text()
    assert main(arguments.split()) == 2 and main([*arguments.split(), "--force"]) == 0
    forced = arguments.replace(str(out), str(labels / "case0.nii.gz"))
    assert main([*forced.split(), "--force"]) == 2  # never over what is no report
    assert nibabel.load(labels / "case0.nii.gz").shape == (12, 12, 12)
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("evaluate", "name a run folder, or --predictions DIR and --labels DIR"),
        ("evaluate --predictions a", "name both --predictions DIR and --labels DIR"),
        ("evaluate run --predictions a --labels b", "either a run folder or --predictions"),
        ("evaluate --predictions a --labels b", "There is no folder a"),
        ("evaluate run --html x.html", "--html goes with --predictions"),
    ],
)
def test_mistakes_get_a_sentence(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_intervals_hold_the_mean_of_a_sample_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = [low <= 0 <= high for low, high in (interval(rng.normal(size=25), seed) for seed in range(60))]
    assert 50 <= sum(hits) <= 60  # 57 expected; fewer than 50 or a collapse would be a fault
    assert interval([0.5] * 4) == (0.5, 0.5) and interval([1.0, 2.0]) is None and interval([np.nan] * 5) is None


def test_the_paired_test_is_exact_where_it_can_be():
    answer = paired_test([2, 3, 4, 5, np.nan], [1, 1, 1, 1, 1])
    assert answer["n"] == 4 and answer["p"] == pytest.approx(2 / 2**4) and answer["mean"] == 2.5
    assert paired_test([1, 1, 1], [1, 1, 1])["p"] == 1 and paired_test([1], [0])["p"] is None
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)
    assert paired_test(values + 1, values + rng.normal(0, 0.1, 40))["p"] < 0.001
    assert paired_test(values, values + rng.normal(0, 1, 40))["p"] > 0.01


def test_results_on_other_cases_are_not_compared(folders, tmp_path):
    result = evaluate_folders(*folders)
    save(tmp_path / "labels", "case9", cube(6))
    save(tmp_path / "pred", "case9", cube(6))
    with pytest.raises(LightMError, match="different cases"):
        compare_folders(result, evaluate_folders(*folders))
