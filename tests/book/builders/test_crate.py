"""results/ is a valid Process Run RO-Crate of all records, and it isn't stale."""

import hashlib
import json

import pytest

from lightm_book import ROOT
from lightm_book.builders.crate import CRATE, PROFILE, RESULTS, crate, files

RECORDS = [path for path in sorted(RESULTS.rglob("*.json")) if path.name != CRATE]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_committed_file_is_what_lightm_book_crate_writes(path):
    assert json.loads(path.read_text(encoding="utf-8")) == files()[path], "run lightm-book crate"


def test_the_rocrate_package_reads_it_as_a_crate_of_every_record():
    from rocrate.rocrate import ROCrate

    found = ROCrate(RESULTS)
    assert {part.id for part in found.root_dataset["hasPart"]} == {p.relative_to(RESULTS).as_posix() for p in RECORDS}
    assert found.root_dataset["conformsTo"].id == PROFILE
    for key in ("name", "description", "datePublished", "license"):
        assert found.root_dataset[key]


def test_every_run_names_its_software_its_end_and_a_record_that_is_there():
    from rocrate.rocrate import ROCrate

    found = ROCrate(RESULTS)
    actions = found.root_dataset["mentions"]
    assert len(actions) > 60
    for action in actions:
        assert action.type == "CreateAction" and action["endTime"]
        assert action["instrument"].type == "SoftwareApplication" and action["instrument"]["url"]
        assert (RESULTS / action["result"].id).is_file()


def test_hashes_are_those_of_the_files_and_no_entity_is_there_twice_or_missing():
    graph = crate()["@graph"]
    ids = [entity["@id"] for entity in graph]
    assert len(ids) == len(set(ids))
    by_id = {entity["@id"]: entity for entity in graph}
    for path in RECORDS:
        entity = by_id[path.relative_to(RESULTS).as_posix()]
        assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    links = [v["@id"] for e in graph for v in e.values() if isinstance(v, dict) and set(v) == {"@id"}]
    assert all(link in by_id or link.startswith("https://w3id.org/ro/crate/") for link in links)


def test_an_altered_record_makes_it_stale(tmp_path):
    folder = tmp_path / "results"
    (folder / "runs").mkdir(parents=True)
    copy = folder / "runs" / "one.json"
    copy.write_bytes(next(path for path in RECORDS if path.parent.name == "runs").read_bytes())
    before = crate(folder)
    copy.write_text(copy.read_text(encoding="utf-8").replace("0.9", "0.8", 1), encoding="utf-8")
    assert crate(folder) != before


def test_archives_are_told_the_same_as_the_citation_file():
    import yaml

    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    for name, title in (("codemeta.json", "name"), (".zenodo.json", "title")):
        told = json.loads((ROOT / name).read_text(encoding="utf-8"))
        assert told[title] == about["title"] and told["version"] == about["version"]
