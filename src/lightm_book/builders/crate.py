"""What archives read, made from the records and from CITATION.cff: `lightm-book crate`.

results/ro-crate-metadata.json   results/ as a Process Run RO-Crate (https://w3id.org/ro/wfrun/process/0.5): every
                                 record, the run that made it, the data that it read, the version of the software
codemeta.json, .zenodo.json      the repository, for CodeMeta and for Zenodo

Everything is a function of files in the repository; nothing is dated by the clock.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lightm.files import write_json
from lightm_book import ROOT

RESULTS = ROOT / "results"
CRATE = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
LICENSE = "https://www.apache.org/licenses/LICENSE-2.0"
PAPER = "https://arxiv.org/abs/2403.05246"
AUTHORS = "#authors"
Entity = dict[str, Any]


def _ids(names: Iterable[str]) -> list[Entity]:
    return [{"@id": name} for name in names]


def citation() -> Mapping[str, Any]:
    """CITATION.cff: the one place of title, abstract, version and keywords."""
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def crate(results: Path = RESULTS) -> Entity:
    """The metadata of a Process Run Crate of all records under `results`."""
    about, entities, runs = citation(), {}, []
    files = [path for path in sorted(results.rglob("*.json")) if path.name != CRATE]
    dates = []
    for path in files:
        name = path.relative_to(results).as_posix()
        content = path.read_bytes()
        record = json.loads(content)
        file = {
            "@id": name,
            "@type": "File",
            "name": path.stem,
            "encodingFormat": "application/json",
            "contentSize": str(len(content)),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        entities[name] = file
        if isinstance(record, dict) and "environment" in record and "finished" in record:
            file["dateCreated"] = record["finished"]
            dates.append(record["finished"])
            for entity in _run(name, record, about):
                entities.setdefault(entity["@id"], entity)
            runs.append(f"#run-{path.stem}")
        else:
            file["description"] = "Counted, not measured: `lightm-book count --paper --json` and `count --memory`."
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": f"Records of {about['title']}",
        "description": "Every measurement of the book: training runs with the score of each test case, learning rates "
        "that were tried, timings, counts. Made by lightm; what is not recorded here is not claimed there.",
        "datePublished": max(dates)[:10] if dates else "",
        "license": {"@id": LICENSE},
        "author": {"@id": AUTHORS},
        "hasPart": _ids(path.relative_to(results).as_posix() for path in files),
        "mentions": _ids(runs),
    }
    head = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    license_ = {"@id": LICENSE, "@type": "CreativeWork", "name": "Apache License 2.0"}
    authors = {"@id": AUTHORS, "@type": "Organization", "name": about["authors"][0]["name"]}
    return {"@context": CONTEXT, "@graph": [head, root, profile, license_, authors, *entities.values()]}


def _run(name: str, record: Mapping[str, Any], about: Mapping[str, Any]) -> Iterable[Entity]:
    """What made a record: the action, its software, its data."""
    environment = record["environment"]
    commit = environment["git"]["commit"] or "unknown"
    software, hardware = f"#lightm-{commit[:12]}", environment["hardware"]
    versions = ", ".join(f"{package} {version}" for package, version in environment["versions"].items())
    on = hardware["gpu"] or f"{hardware['cpu']}, {hardware['threads']} threads"
    action = {
        "@id": f"#run-{Path(name).stem}",
        "@type": "CreateAction",
        "name": record.get("name") or Path(name).stem,
        "description": f"On {on}; {versions}",
        "instrument": {"@id": software},
        "agent": {"@id": AUTHORS},
        "endTime": record["finished"],
        "result": {"@id": name},
    }
    data = record.get("config", {}).get("data", {}).get("name")
    if data:
        action["object"] = {"@id": f"#{data}"}
        source = record.get("data", {}).get("source")
        yield {"@id": f"#{data}", "@type": "Dataset", "name": data} | ({"description": source} if source else {})
    yield {
        "@id": software,
        "@type": "SoftwareApplication",
        "name": "lightm",
        "softwareVersion": f"{about['version']}, commit {commit}",
        "url": f"{about['repository-code']}/tree/{commit}" if commit != "unknown" else about["repository-code"],
    }
    yield action


def codemeta() -> Entity:
    """The repository for https://codemeta.github.io."""
    about = citation()
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": about["title"],
        "description": about["abstract"],
        "version": about["version"],
        "license": "https://spdx.org/licenses/Apache-2.0",
        "codeRepository": about["repository-code"],
        "issueTracker": f"{about['repository-code']}/issues",
        "programmingLanguage": "Python",
        "operatingSystem": ["Linux", "macOS", "Windows"],
        "keywords": about["keywords"],
        "author": [{"@type": "Organization", "name": author["name"]} for author in about["authors"]],
        "referencePublication": PAPER,
    }


def zenodo() -> Entity:
    """The repository for Zenodo, which reads .zenodo.json when a release is archived."""
    about = citation()
    return {
        "title": about["title"],
        "description": about["abstract"],
        "version": about["version"],
        "upload_type": "software",
        "access_right": "open",
        "license": about["license"],
        "creators": [{"name": author["name"]} for author in about["authors"]],
        "keywords": about["keywords"],
        "related_identifiers": [
            {"identifier": "arXiv:2403.05246", "relation": "documents", "resource_type": "publication-preprint"},
        ],
    }


def files() -> dict[Path, Entity]:
    """What the command writes: path -> content."""
    return {RESULTS / CRATE: crate(), ROOT / "codemeta.json": codemeta(), ROOT / ".zenodo.json": zenodo()}


def write_crate(check: bool) -> int:
    """Write the three files, or only look whether they are what they should be; the exit code."""
    wanted = files()
    stale = [path for path, content in wanted.items() if not path.exists() or json.loads(path.read_text()) != content]
    for path in stale:
        name = path.relative_to(ROOT).as_posix()
        print(f"{name} is out of date: run lightm-book crate" if check else f"{name} written")
        if not check:
            write_json(wanted[path], path)
    return int(check and bool(stale))
