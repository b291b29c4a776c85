"""Every recipe in configs/driving is dry-run: as it is, and with CARLA's maps and a small CLIP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apps.driving import dry_run_reward
from apps.driving.calibration import calibrate
from apps.driving.config import DrivingConfig
from apps.driving.dry_run import check
from apps.driving.reward_config import RECIPE_NAMES, GoalConfig
from apps.driving.train import run_train
from common.config import load
from common.models.clip import Clip
from tests.apps.driving.test_rewards import TEXTS
from tests.common.models.tiny_clip import tiny_clip_folder

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "driving"
FILES = sorted(CONFIGS.glob("*.yaml"))
CARLA = [file for file in FILES if "carla" in file.stem]
TOWN02, SMALL = CONFIGS / "vlm-rl-carla-town02.yaml", CONFIGS / "vlm-rl-carla-small-clip.yaml"


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch):
    """The same answers on a machine that has fetched a CLIP."""
    monkeypatch.setattr(dry_run_reward, "_cached", lambda repository: False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Options for a small CLIP with thresholds of its own for both wordings."""
    folder = tmp_path_factory.mktemp("clip")
    opened = Clip(tiny_clip_folder(folder / "clip", TEXTS))
    pictures = torch.rand(80, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    danger = [0.0, 1.0] * 40
    options = {}
    for wording in ("pocket", "vlm_rl"):
        found = calibrate(opened, GoalConfig(wording=wording), pictures, danger, narrowest=1e-6)
        file = found.write(folder / f"{wording}.json")
        options[wording] = ["--reward.clip.name", opened.name, "--reward.clip.pretrained", ""]
        options[wording] += ["--reward.thresholds.file", str(file)]
    return options


@pytest.fixture
def maps(shared):
    folder = shared / "data" / "carla_maps"
    if not folder.is_dir():
        pytest.skip(f"CARLA's maps not found at {folder}")
    pytest.importorskip("carla", reason="CARLA's client library is not installed")
    return ["--env.routes.folders", f"[{folder}]", "--evaluate.maps", "[Town01, Town04]"]


def failures(found):
    return [f"{one.name}: {one.detail}" for one in found if one.passed is False]


def named(config):
    return {one.name: one for one in check(config)}


@pytest.mark.parametrize("file", [file for file in FILES if file not in CARLA], ids=lambda path: path.stem)
def test_a_recipe_of_the_embedded_simulator_passes_all_its_checks(file, clip, tmp_path):
    found = check(load(DrivingConfig, file, [*clip["pocket"], "--runs", str(tmp_path / "runs")]))
    assert all(one.passed for one in found), failures(found)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("file", CARLA, ids=lambda path: path.stem)
def test_what_a_carla_recipe_needs_and_this_machine_lacks_is_not_checked(file, tmp_path):
    config = load(DrivingConfig, file, ["--env.routes.folders", f"[{tmp_path / 'carla'}]", "--simulator.carla.port=9"])
    found = named(config)
    assert not failures(found.values())
    assert {"maps", "simulator", "clip"} <= {name for name, one in found.items() if one.passed is None}
    assert "would be started" in found["simulator"].detail


@pytest.mark.parametrize("file", CARLA, ids=lambda path: path.stem)
def test_a_carla_recipe_passes_where_the_maps_and_a_clip_are(file, clip, maps):
    config = load(DrivingConfig, file, [*maps, *clip["vlm_rl"], "--simulator.carla.port=9"])
    if file == TOWN02:
        config.reward.thresholds.file = ""
    found = check(config)
    assert [one.name for one in found if not one.passed] == ["simulator"], failures(found)


def test_the_named_clips_have_their_published_sizes_and_thresholds():
    pytest.importorskip("open_clip")
    big, small = (named(load(DrivingConfig, file)) for file in (TOWN02, SMALL))
    assert "2,539.6 M" in big["clip"].detail
    assert "151.3 M" in small["clip"].detail
    # Given thresholds need no weights; those of a file are compared with them.
    assert big["reward"].passed
    assert small["reward"].passed is None
    config = load(DrivingConfig, TOWN02)
    config.reward.thresholds.low = config.reward.thresholds.high = None
    assert named(config)["reward"].passed, "VLM-RL's own CLIP and texts have VLM-RL's own thresholds"


def test_the_published_settings_stand():
    config = load(DrivingConfig, TOWN02)
    control, bev = config.control, config.env.observation.bev
    assert (control.algorithm, control.steps, control.gamma, control.sde) == ("sac", 1_000_000, 0.98, True)
    assert (control.sac.tau, control.sac.collect, control.sac.updates) == (0.02, 64, 64)
    assert (control.learning_rate, control.final_learning_rate) == (1e-4, 5e-7)
    assert (bev.size, bev.history, bev.size / bev.metres) == (192, [16, 11, 6, 1], 5.0)
    assert (config.simulator.dt, config.env.traffic.vehicles) == (pytest.approx(1 / 15), [20, 20])
    small = load(DrivingConfig, SMALL)
    assert (small.env.action.kind, small.control.ppo.rollout, small.control.ppo.entropy) == ("discrete", 1024, 0.05)


def test_the_comparison_has_the_budget_of_the_default():
    comparison, pocket = (load(DrivingConfig, CONFIGS / f"{name}.yaml") for name in ("compare-rewards", "pocket"))
    assert set(comparison.comparison.recipes) <= set(RECIPE_NAMES)
    assert len(comparison.comparison.recipes) == len(set(comparison.comparison.recipes)) == 16
    comparison.comparison = pocket.comparison
    assert comparison == pocket


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_recipe_says_how_to_run_it_on_what_how_long_and_with_what_figure(file):
    header = file.read_text("utf-8").split("\nenv:")[0]
    for word in ("Run:", "Hardware:", "Time:", "Figure:"):
        assert word in header, word
    assert "TBD" not in header
    assert "apps.driving train" in header


def test_a_wrong_reward_of_a_comparison_is_found_before_the_others_are_trained(clip):
    options = [*clip["pocket"], "--comparison.recipes=[lord, lrod]"]
    config = load(DrivingConfig, CONFIGS / "compare-rewards.yaml", options)
    found = named(config)["reward"]
    assert found.passed is False
    assert "lrod" in found.detail


@pytest.mark.parametrize(
    ("options", "check_name", "says"),
    [
        (["--reward.clip.name=ViT-B-23"], "clip", "ViT-B-23"),
        (["--reward.clip.pretrained=openay"], "clip", "openay"),
        (["--env.picture.kind=none"], "reward", "picture.kind"),
        (["--simulator.kind=embedded"], "reward", "simulator.carla.camera"),
        (["--control.sac.tau=2"], "batches", "tau"),
    ],
)
def test_what_is_wrong_is_named(options, check_name, says):
    pytest.importorskip("open_clip")
    found = named(load(DrivingConfig, TOWN02, options))[check_name]
    assert found.passed is False
    assert says in found.detail


def test_the_exit_code_tells_what_failed_from_what_was_not_checked(capsys):
    pytest.importorskip("open_clip")
    assert run_train(load(DrivingConfig, TOWN02, ["--simulator.carla.port=9"]), dry_run=True) == 0
    assert "not checked" in capsys.readouterr().out
    assert run_train(load(DrivingConfig, TOWN02, ["--control.sac.tau=2"]), dry_run=True) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "simulator", "few"),
    [
        (TOWN02, "fake", {"sac.learning_starts": 64, "sac.batch_size": 8, "sac.updates": 2, "sac.buffer_size": 1000}),
        (SMALL, "embedded", {"ppo.rollout": 128, "ppo.epochs": 1}),
    ],
    ids=lambda one: one.stem if isinstance(one, Path) else "",
)
def test_a_carla_recipe_runs_to_its_report(file, simulator, few, clip, maps, tmp_path):
    """With few steps; the fake of CARLA's client has a camera, the embedded simulator has none."""
    shorter = {"evaluate.routes_per_map": 1, "evaluate.vehicles": "[0]", "evaluate.end.seconds": 3, "threads": 1}
    shorter |= {"control.steps": 256, "control.save_every": 0, "control.device": "cpu", "runs": tmp_path}
    shorter |= {f"control.{name}": value for name, value in few.items()}
    options = [*maps, *clip["vlm_rl"], f"--simulator.kind={simulator}", "--simulator.carla.server.command=[]"]
    config = load(DrivingConfig, file, [*options, *(f"--{name}={value}" for name, value in shorter.items())])
    assert run_train(config, name="run") == 0
    assert (tmp_path / "run" / "report.html").is_file()
