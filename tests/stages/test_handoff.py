"""The handoff: a file that refuses another speaker, and any file that is not one."""

import pickle
from types import SimpleNamespace

import pytest
import torch

from gstalker.errors import RunError
from gstalker.gaussians.cloud import GaussianCloud
from gstalker.stages.handoff import Handoff
from gstalker.types import Splats


def cloud(n=7):
    generator = torch.Generator().manual_seed(0)
    return GaussianCloud.from_splats(
        Splats(
            means=torch.randn(n, 3, generator=generator),
            scales=torch.rand(n, 3, generator=generator) + 0.1,
            quats=torch.randn(n, 4, generator=generator),
            opacities=torch.rand(n, generator=generator) * 0.8 + 0.1,
            sh=torch.randn(n, 1, 3, generator=generator),
        )
    )


def handoff():
    return Handoff(
        cloud={k: v.detach() for k, v in cloud().state_dict().items()},
        rest_viewmat=torch.eye(4),
        capture_name="macron",
        capture_id="3f1a" + "0" * 60,
    )


def test_the_cloud_comes_back_value_for_value(tmp_path):
    before = handoff()
    before.save(tmp_path / "handoff.pt")
    after = Handoff.load(tmp_path / "handoff.pt").to_cloud()
    for name, value in before.cloud.items():
        torch.testing.assert_close(after.state_dict()[name], value, rtol=0, atol=0)


def test_another_speakers_handoff_is_refused_by_name():
    capture = SimpleNamespace(name="may", content_id="9b20" + "0" * 60)
    with pytest.raises(
        RunError, match=r"from capture 'macron' \(3f1a…\), this run is 'may' \(9b20…\)"
    ):
        handoff().check(capture)


@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_a_damaged_handoff_is_a_sentence(tmp_path, damage):
    path = tmp_path / "handoff.pt"
    handoff().save(path)
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\x93" * 500}[damage]
    )
    with pytest.raises(RunError, match=r"handoff .*handoff\.pt is damaged or not ours"):
        Handoff.load(path)


class Bomb:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (print, ("the bomb went off",))


def test_a_hostile_handoff_does_not_run(tmp_path, capsys):
    path = tmp_path / "handoff.pt"
    torch.save({"cloud": Bomb()}, path)
    with pytest.raises(RunError, match="damaged or not ours"):
        Handoff.load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="damaged or not ours"):
        Handoff.load(path)
    assert "bomb" not in capsys.readouterr().out


def test_a_checkpoint_of_something_else_is_not_a_handoff(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "handoff.pt")
    with pytest.raises(RunError, match="not a handoff of this program"):
        Handoff.load(tmp_path / "handoff.pt")
