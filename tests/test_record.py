"""What a run was: run.json and the RO-Crate of its folder."""

from __future__ import annotations

import hashlib
import json

from HiggsML.crate import CRATE_FILE
from HiggsML.ingestion.record import describe_run, load_record, write_record


def folder_of_a_run(tmp_path, seed):
    record = write_record(
        tmp_path,
        submission=tmp_path / "my model.zip",
        arguments=["higgsml", "run", "my model.zip"],
        seed=seed,
    )
    for name in ("predictions/result_0.json", "scores/scores.json", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return record


def test_a_record_names_a_seed_only_if_one_was_given(tmp_path):
    assert folder_of_a_run(tmp_path, None).keys() == {"submission", "date", "command"}
    record = folder_of_a_run(tmp_path, 7)
    assert record["seed"] == "7"
    assert record["submission"] == "my model"
    assert record["command"] == "higgsml run 'my model.zip'"
    assert load_record(tmp_path) == record
    assert load_record(tmp_path / "elsewhere") == {}


def test_a_run_is_a_crate_of_all_its_files_and_of_nothing_else(tmp_path):
    describe_run(tmp_path, folder_of_a_run(tmp_path, 7))
    graph = json.loads((tmp_path / CRATE_FILE).read_text())["@graph"]
    by_id = {entity["@id"]: entity for entity in graph}
    assert len(by_id) == len(graph)
    files = {key: one for key, one in by_id.items() if one["@type"] == "File"}
    assert set(files) == {"run.json", "predictions/result_0.json", "scores/scores.json"}
    for name, one in files.items():
        assert one["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    # Whatever is referred to is described.
    for entity in graph:
        for value in entity.values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and not one["@id"].startswith("https://w3id.org"):
                    assert one["@id"] in by_id
    action = by_id["#run"]
    assert action["endTime"].endswith("Z")
    assert by_id["./"]["mentions"] == [{"@id": "#higgsml"}, {"@id": "#run"}]
