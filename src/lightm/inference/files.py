"""Label maps written for images: whole or not at all, never over an image, and gone on with after an interruption."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightm.data.images import (
    ImageFile,
    check_label_path,
    files_of,
    stem_of,
    suffix_of,
    write_label,
    write_probabilities,
)
from lightm.data.verify import hash_file
from lightm.errors import LightMError
from lightm.files import clear_partial, write_json
from lightm.inference.inputs import Input, find_inputs
from lightm.inference.predictor import Predictor, Progress, label_of

JOURNAL = "predictions.json"
Shares = dict[str, float]


def predict_file(
    predictor: Predictor | str | Path,
    image: str | Path | Input,
    out_path: str | Path,
    sliding: bool = False,
    force: bool = False,
    probabilities: bool = False,
    progress: Progress = lambda done, total: None,
) -> Shares:
    """Write the label map of an image file, at the image's own size and place; returns each class's share of it.

    predictor: a `Predictor`, or what it is made of. image: a file, or all files of a case. Pictures (PNG, JPEG, …) give
    a gray PNG that holds the label values; volumes give NIfTI with the affine, and for NIfTI the header, of the image.
    probabilities: also write each class's probability to the file that `probabilities_path` names.
    The file appears whole or not at all; one that is there is replaced only with force=True. What is wrong with the
    files is said before a network is loaded.
    """
    out, case = Path(out_path), image if isinstance(image, Input) else Input(stem_of(image), (Path(image),))
    content = case.read()
    check_label_path(out, like=content)
    if not out.parent.is_dir():
        raise LightMError(f"There is no folder {out.parent}; make it, or correct the path {out}.")
    for path in (out, probabilities_path(out)) if probabilities else (out,):
        if path.exists() and any(path.samefile(file) for file in case.files):
            raise LightMError(f"{path} is the image itself; give the label map another name.")
        if path.exists() and not force:
            raise LightMError(f"{path} exists already; choose another name, or replace it with --force (force=True).")
    predictor = predictor if isinstance(predictor, Predictor) else Predictor(predictor)
    return _write(predictor, content, case, out, sliding, probabilities, progress)


def probabilities_path(out: Path) -> Path:
    """Where the probabilities of a label map lie: liver.nii.gz -> liver_probabilities.nii.gz, lungs.png -> ….tif."""
    ending = suffix_of(out)
    return out.with_name(f"{stem_of(out)}_probabilities{'.tif' if ending == '.png' else ending}")


def _write(
    predictor: Predictor,
    content: ImageFile,
    case: Input,
    out: Path,
    sliding: bool,
    probabilities: bool,
    progress: Progress,
) -> Shares:
    values = torch.from_numpy(predictor.check(content, str(case.files[0])))  # (C, *S)
    check_label_path(out, like=content)
    logits = predictor.logits(values, sliding, content.spacing, progress)  # (K, *S)
    label = label_of(logits)
    if probabilities:  # first: where the label map is, everything is
        write_probabilities(probabilities_path(out), logits.softmax(0).numpy(), like=content)
    write_label(out, label, like=content)
    counts = np.bincount(label.ravel(), minlength=len(predictor.classes))
    return dict(zip(predictor.classes, (counts / label.size).tolist(), strict=True))


def predict(
    predictor: Predictor | str | Path,
    inputs: Sequence[str | Path],
    out: str | Path,
    sliding: bool = False,
    force: bool = False,
    probabilities: bool = False,
    progress: Progress = lambda done, total: None,
    report: Callable[[str, Shares | None], None] = lambda path, shares: None,
) -> list[str]:
    """Segment all that `inputs` name (see `find_inputs`): one image to the file `out`, several into the folder `out`.

    In a folder, predictions.json says which weights made what. Called again with the same weights and options, files
    that are there and whole are kept, and the others made; other weights, or files that it did not make, are refused
    unless force=True, which makes all anew. An image that can't be segmented does not stop the others: it is named at
    the end. progress: called as progress(done, total), in windows for one image, else in images.
    report: called with each file written and its classes' shares; None instead of these for one that was there.
    Returns the names of files in the folder that are no images and were left out.
    """
    paths, out = [Path(path).expanduser() for path in inputs], Path(out).expanduser()
    for path in paths:
        if not path.exists():
            raise LightMError(f"There is no file {path}; correct the path.")
    predictor = predictor if isinstance(predictor, Predictor) else Predictor(predictor)
    cases, strangers = find_inputs(paths, predictor.task.in_channels)
    folder = len(paths) == 1 and paths[0] not in cases[0].files
    if len(cases) == 1 and not folder and not out.is_dir():
        shares = predict_file(predictor, cases[0], out, sliding, force, probabilities, progress)
        report(str(out), shares)
        return strangers
    if suffix_of(out) and not out.is_dir():
        raise LightMError(
            f"{out} is the name of one file, and {len(cases)} image(s) of a folder go there; name a folder."
        )
    settings = {"weights": predictor.weights_hash(), "sliding": sliding, "probabilities": probabilities}
    ending = ".png" if predictor.task.spatial_dims == 2 else ".nii.gz"
    targets = {case.case_id: out / f"{case.case_id}{ending}" for case in cases}
    for case in cases:
        if targets[case.case_id].exists() and any(targets[case.case_id].samefile(file) for file in case.files):
            raise LightMError(f"{out} is where the images are; name another folder for the label maps.")
    out.mkdir(parents=True, exist_ok=True)
    clear_partial(out)
    made = {} if force else _made_before(out, settings, list(targets.values()))
    failed: list[str] = []
    for k, case in enumerate(cases):
        target, inside = targets[case.case_id], [file for path in case.files for file in files_of(path)]
        if target.name in made and _is_done(target, made[target.name], inside, probabilities):
            report(str(target), None)
        else:
            try:
                content = case.read()
                # Begun: if this process is killed from here on, the file may be replaced by the one that goes on.
                made[target.name] = {}
                write_json({**settings, "classes": predictor.classes, "files": made}, out / JOURNAL)
                shares = _write(
                    predictor,
                    content,
                    case,
                    target,
                    sliding,
                    probabilities,
                    lambda done, total, k=k: progress(round(k + done / total, 2), len(cases)),
                )
                del content
            except LightMError as error:
                failed.append(str(error))
                continue
            made[target.name] = {"image": _hashes(inside), "sha256": hash_file(target), "shares": shares}
            write_json({**settings, "classes": predictor.classes, "files": made}, out / JOURNAL)
            report(str(target), shares)
        progress(k + 1, len(cases))
    if failed:
        raise LightMError(f"{len(failed)} of {len(cases)} images could not be segmented: {' '.join(failed)}")
    return strangers


def _made_before(out: Path, settings: dict[str, Any], targets: Sequence[Path]) -> dict[str, Any]:
    """What predictions.json says was made with these settings. LightMError if it, or a file there, is of others."""
    remedy = "choose another folder, or replace what is there with --force (force=True)"
    made: dict[str, Any] = {}
    if (out / JOURNAL).exists():
        try:
            said = json.loads((out / JOURNAL).read_text(encoding="utf-8"))
            made, before = dict(said["files"]), {key: said[key] for key in settings}
        except (OSError, ValueError, KeyError, TypeError):
            raise LightMError(f"{out / JOURNAL} is damaged or no file of this command; {remedy}.") from None
        if before != settings:
            changed = next(key for key in settings if before[key] != settings[key])
            raise LightMError(f"{out} holds predictions made with other {changed}; {remedy}.")
    for target in targets:
        if target.exists() and not isinstance(made.get(target.name), dict):
            raise LightMError(f"{target} is there and was not made by this command; {remedy}.")
        if target.exists() and made[target.name].get("sha256") not in (None, hash_file(target)):
            raise LightMError(f"{target} was changed since it was made; move it elsewhere, or {remedy}.")
    return made


def _is_done(target: Path, said: dict[str, Any], image: Sequence[Path], probabilities: bool) -> bool:
    """Whether a label map is there, made of its image as that is now."""
    there = target.exists() and (not probabilities or probabilities_path(target).exists())
    return there and "sha256" in said and _hashes(image) == said["image"]


def _hashes(files: Sequence[Path]) -> list[str]:
    return [hash_file(file) for file in files]
