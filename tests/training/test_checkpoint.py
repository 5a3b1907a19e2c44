"""A checkpoint is there whole or not at all, and says what is wrong with it."""

import json

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.files import clear_leftovers, whole_file
from lightm.training import checkpoint
from lightm.training.checkpoint import find_checkpoint, load_model, load_optimizer, load_state, save_checkpoint


def network(seed, width=5):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def adamw(net):
    decayed = [p for p in net.parameters() if p.ndim > 1]
    spared = [p for p in net.parameters() if p.ndim == 1]
    return torch.optim.AdamW([{"params": spared, "weight_decay": 0.0}, {"params": decayed}], lr=0.1)


def step(net, optimizer):
    optimizer.zero_grad()
    net(torch.arange(12.0).view(4, 3)).square().mean().backward()
    optimizer.step()


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of a network after one step, and that network."""
    net = network(0)
    optimizer = adamw(net)
    step(net, optimizer)
    save_checkpoint(tmp_path / "last", {"position": 1}, net, optimizer)
    return tmp_path / "last", net, optimizer


def test_training_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(saved):
    folder, net, optimizer = saved
    state, other = load_state(folder), network(1)
    load_model(folder, other)
    resumed = adamw(other)
    load_optimizer(folder, state, other, resumed)
    assert state["position"] == 1
    for a, b in ((net, optimizer), (other, resumed)):
        step(a, b)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))
    assert not [path for path in folder.rglob("*") if path.suffix in (".pt", ".pth", ".pkl", ".bin")]


def test_an_optimiser_without_state_is_saved_and_loaded(tmp_path):
    net = network(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    step(net, optimizer)
    fresh = torch.optim.SGD(net.parameters(), lr=0.1)
    save_checkpoint(tmp_path / "last", {}, net, fresh)
    load_optimizer(tmp_path / "last", load_state(tmp_path / "last"), net, optimizer)
    assert not optimizer.state_dict()["state"] and optimizer.param_groups[0]["momentum"] == 0


def test_a_disk_that_refuses_keeps_the_last_good_checkpoint(saved, monkeypatch):
    folder, net, optimizer = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file may grow beyond: the write itself fails
    try:
        with pytest.raises(LightMError, match=r"Can't write the checkpoint .* the last good one is still there"):
            save_checkpoint(folder, {"position": 2}, nn.Linear(300, 300))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["last"]

    def full(tensors, path, *metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(LightMError, match="No space left on device"):
        save_checkpoint(folder, {"position": 2}, net, optimizer)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert load_state(folder)["position"] == 1


def test_the_one_before_is_found_if_the_newest_has_not_taken_its_place(saved):
    folder, net, _ = saved
    save_checkpoint(folder, {"position": 2}, net)
    assert load_state(find_checkpoint(folder))["position"] == 2
    folder.rename(folder.with_name("last.new"))
    assert load_state(find_checkpoint(folder))["position"] == 1
    assert find_checkpoint(folder.with_name("none")) is None


def test_damage_is_named_with_the_remedy(saved):
    folder, net, _ = saved
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(LightMError, match=r"safetensors is missing, damaged or was edited\. No older checkpoint"):
        load_state(folder)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one flipped bit
    save_checkpoint(folder.with_name("other"), {}, net)
    folder.with_name("other").rename(folder.with_name("last.previous"))
    with pytest.raises(LightMError, match=r"edited\. Delete .*last to go on from .*last\.previous"):
        load_state(folder)
    (folder / "state.json").write_text(json.dumps({"format": 99, "files": {}}))
    with pytest.raises(LightMError, match="has format 99; this version of lightm reads formats 1 and 2"):
        load_state(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(LightMError, match=r"state\.json is missing, damaged or was edited"):
        load_state(folder)


def test_weights_of_another_architecture_are_refused_by_name(saved):
    with pytest.raises(LightMError, match=r"0\.weight is \(5, 3\) in the checkpoint and \(6, 3\) in this model"):
        load_model(saved[0], network(0, width=6))
    with pytest.raises(LightMError, match=r"3\.weight is not there in the checkpoint"):
        load_model(saved[0], network(0).append(nn.Linear(2, 2)))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with whole_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_was_writing_is_cleared_away_and_nothing_else(tmp_path):
    (tmp_path / ".mine.csv").write_text("kept")
    (tmp_path / "last.new").mkdir()
    (tmp_path / "last.new" / "model.safetensors").write_text("half")

    class Killed(BaseException):
        """Stands for `kill -9`: the temporary file stays."""

    writing = whole_file(tmp_path / "log.csv")
    writing.__enter__().write_text("half")
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.csv"]
    with pytest.raises(Killed):
        writing.gen.throw(Killed())
