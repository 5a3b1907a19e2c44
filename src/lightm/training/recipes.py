"""Recipes by name: those that come with the package, what each is for, and the files that a recipe names.

A recipe of the package opens with comments: a line that says what it is for, possibly more, and `# Time: …`.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from lightm.errors import LightMError, suggest

FOLDER = Path(__file__).resolve().parents[1] / "recipes"  # package data
SUFFIXES = (".toml", ".json")


@dataclass(frozen=True)
class RecipeInfo:
    """A line of `lightm train --list`. data: name of the data set. time: what its header says that a run takes."""

    name: str
    summary: str
    data: str
    time: str


def list_recipes() -> list[RecipeInfo]:
    """The recipes that come with the package, by name."""
    return [_info(path) for path in sorted(FOLDER.glob("*.toml"))]


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe, given by the name of one that comes with the package, or by its path.

    A path may lead to a recipe (.toml) or to the record of a run (.json), which holds one. LightMError: there is none.
    """
    path = Path(recipe).expanduser()
    shipped = FOLDER / f"{path.name}.toml"
    if path.name == str(recipe) and path.suffix not in SUFFIXES and shipped.is_file():
        return shipped
    if path.is_file():
        return path
    if path.is_dir():
        raise LightMError(f"{path} is a folder; name a file in it, such as {path / 'config.toml'}.")
    stem = path.stem if path.suffix in SUFFIXES else path.name
    known = suggest(stem, [shipped.stem for shipped in FOLDER.glob("*.toml")])
    raise LightMError(f"There is no recipe {recipe}. {known} `lightm train --list` says more; a path works, too.")


def find_split(name: str, folder: Path) -> Path:
    """A split file that a recipe names: beside the recipe, in the working folder, or among those of the package.

    So the recipe in a record finds the split of the package, wherever the record lies.
    """
    for place in (folder, Path(), FOLDER):
        if (path := place / Path(name).expanduser()).is_file():
            return path
    raise LightMError(
        f"data.split = {name!r} is neither beside the recipe (in {folder}) nor in the working folder; correct the path."
    )


def _info(path: Path) -> RecipeInfo:
    text = path.read_text(encoding="utf-8")
    header = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    time = next((line.removeprefix("Time:").strip() for line in header if line.startswith("Time:")), "")
    return RecipeInfo(path.stem, header[0] if header else "", tomllib.loads(text)["data"]["name"], time)
