"""dataset.json: which number is which class, which channel is what; as the Decathlon and as nnU-Net spell it.

Decathlon   "labels": {"0": "background", "1": "liver"}     "modality": {"0": "CT"}
nnU-Net     "labels": {"background": 0, "liver": 1, "ignore": 2}     "channel_names": {"0": "CT"}
"""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from lightm.data.reading.faults import WARNING, Fault, shown
from lightm.data.reading.layout import Layout
from lightm.errors import LightMError

NAME = "dataset.json"
_LIMIT = 2**26  # bytes


@dataclass
class Description:
    """What dataset.json says. classes: names of 0, 1, …, () if it names none; ignore: the number that means "not
    known", to be left out of every loss and score; channels: their names in order; notes: what is said but is no fault.
    """

    classes: tuple[str, ...] = ()
    ignore: int | None = None
    channels: tuple[str, ...] = ()
    content: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def normalise(self) -> str:
        """ "ct" if the first channel is CT (in capitals or not), else "zscore"."""
        return "ct" if self.channels and self.channels[0].strip().lower() == "ct" else "zscore"

    def _fault(self, kind: str, what: str, remedy: str, severity: str = "error") -> None:
        self.faults.append(Fault(kind, "", NAME, what, remedy, severity))


def read_description(root: Path) -> Description:
    """What dataset.json in `root` says; an empty `Description` if there is none. Mistakes are among its faults."""
    path, said = root / NAME, Description()
    if not path.exists():
        return said
    try:
        if path.stat().st_size > _LIMIT:
            raise ValueError("it is larger than 64 MiB")
        raw = path.read_bytes()
        repeated: list[str] = []
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=lambda pairs: _unique(pairs, repeated))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        said._fault("description", f"can't be understood ({shown(error)})", "correct or remove it")
        return said
    if raw.startswith(b"\xef\xbb\xbf"):
        said.notes.append(f"{NAME} begins with a byte order mark, which is passed over.")
    for key in repeated:
        said._fault("description", f"names {key!r} twice in one place", "keep one of the two")
    said.content = content
    _labels(said, content.get("labels"))
    channels = content.get("channel_names", content.get("modality"))
    if isinstance(channels, dict) and sorted(channels) == sorted(str(i) for i in range(len(channels))):
        said.channels = tuple(str(channels[str(i)]) for i in range(len(channels)))
    elif channels is not None and channels != {}:
        said._fault("description", 'names channels otherwise than as {"0": …, "1": …}', "correct channel_names")
    return said


def _unique(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        repeated += sorted({name for name in names if names.count(name) > 1})
    return table


def _labels(said: Description, labels: Any) -> None:
    if labels is None:
        return
    pairs: list[tuple[int, str]] = []
    if not isinstance(labels, dict) or not labels:
        said._fault("description", "can't be understood: `labels` must pair numbers and names", "correct or remove it")
        return
    for key, value in labels.items():
        if isinstance(value, list):
            what = f"describes {shown(key)!r} as a region of several labels, which this program does not train on"
            said._fault("description", what, "give each label a name of its own")
            return
        number, name = (key, value) if key.isdigit() and isinstance(value, str) else (value, key)
        if isinstance(number, bool) or not str(number).isascii() or not str(number).isdigit() or int(number) > 255:
            what = f"can't be understood: `labels` must pair numbers (0 to 255) and names, and has {shown(key)!r}"
            said._fault("description", what, "correct or remove it")
            return
        pairs.append((int(number), name))
    ignored = [number for number, name in pairs if name.strip().lower() == "ignore"]
    named = sorted((number, name) for number, name in pairs if name.strip().lower() != "ignore")
    numbers, names = [n for n, _ in named], [name for _, name in named]
    if len(ignored) > 1 or len(set(numbers)) < len(numbers) or set(ignored) & set(numbers):
        said._fault("description", "gives one number to two labels", "give each label its own")
    elif len(set(names)) < len(names):
        said._fault("description", "gives one name to two labels", "give each label its own")
    elif numbers != list(range(len(numbers))):
        what = f"numbers the labels {', '.join(map(str, numbers))}; they must be numbered 0, 1, 2, … without a gap"
        said._fault("description", what, "correct it, and the label maps with it")
    elif len(numbers) < 2:
        said._fault("description", "names no label but the background", "name the structures to be learned")
    else:
        if "background" in [name.lower() for name in names[1:]]:
            said._fault(
                "description",
                f"calls label {[n.lower() for n in names].index('background')} background and "
                f"label 0 {shown(names[0])!r}",
                "give background the number 0",
            )
        said.classes, said.ignore = tuple(names), ignored[0] if ignored else None


def check_description(said: Description, layout: Layout) -> None:
    """Compare dataset.json with the files that are there; what differs is added to its faults."""
    content, found = said.content, len(layout.cases)
    given = content.get("numTraining")
    unpaired = len({f.case for f in layout.faults if f.kind in ("no-partner", "two-files", "channels")})
    if given is not None and given not in (found, found + unpaired):
        said._fault(
            "count",
            f"says that there are {shown(given)} training cases, but {found} are there",
            "add what is missing, or correct numTraining",
        )
    given = content.get("numTest")
    if isinstance(given, int) and given and layout.test and given != len(layout.test):
        said._fault(
            "count",
            f"says that there are {given} test cases, but {len(layout.test)} are there",
            "add what is missing, or correct numTest",
            WARNING,
        )
    ending = content.get("file_ending")
    files = [path for case in layout.cases.values() for path in (*case.images, case.label) if path is not None]
    if ending is not None:
        other = [path for path in files if not (isinstance(ending, str) and path.name.endswith(ending))]
        if other:
            where = other[0].relative_to(layout.root).as_posix()
            said._fault(
                "file-ending",
                f"says that files end in {shown(ending)}, but {len(other)} of {len(files)} do not, e.g. {shown(where)}",
                "correct file_ending, or convert the files",
            )
    _check_list(said, layout)


def _check_list(said: Description, layout: Layout) -> None:
    """The list of training files, if there is one: no path may leave the folder, and each file must be there."""
    listed = said.content.get("training")
    if not isinstance(listed, list):
        return
    known = set()
    for entry in listed:
        for path in entry.values() if isinstance(entry, dict) else [entry]:
            parts = PurePosixPath(path).parts if isinstance(path, str) else ("..",)
            if ".." in parts or parts[:1] == ("/",):
                said._fault(
                    "path", f"lists {shown(path)!r}, which lies outside the folder", "correct the list `training`"
                )
                return
            known.add(parts[-1] if parts else "")
    there = {path.name for case in layout.cases.values() for path in (*case.images, case.label) if path is not None}
    bare = {
        name for case in layout.cases.values() for name in (f"{case.case_id}{''.join(case.images[0].suffixes[-2:])}",)
    }
    missing = sorted(known - there - bare)
    if missing:
        said._fault(
            "listed",
            f"lists {len(missing)} training file(s) that are not there, e.g. {shown(missing[0])}",
            "add them, or correct the list `training`",
        )
    extra = sorted(
        case.case_id
        for case in layout.cases.values()
        if not {p.name for p in case.images} & known and not any(name.startswith(f"{case.case_id}.") for name in known)
    )
    if known and extra:
        said._fault(
            "listed",
            f"does not list {len(extra)} case(s) that are there, e.g. {shown(extra[0])}, which are used all the same",
            "add them to the list `training`, or remove the files",
            WARNING,
        )


def first_error(said: Description, root: Path) -> None:
    """LightMError for the first mistake that makes dataset.json useless, for those who only open the data."""
    for fault in said.faults:
        if fault.severity == "error" and fault.kind == "description":
            raise LightMError(f"{root / NAME} {fault.what}; {fault.remedy}.")
