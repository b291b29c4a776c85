"""The recipes for several GPUs, read by the classes of accelerate and trl that will read them; no GPU is needed."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("trl")

from apps.medvqa.config import MedVqaConfig
from apps.text2sql.config import Text2SqlConfig
from common.config import load

ROOT = Path(__file__).resolve().parents[2]
ACCELERATE = ROOT / "configs" / "accelerate" / "fsdp2.yaml"
SERVED = {
    ROOT / "configs/text2sql/qwen2.5-coder-7b-bird-vllm-server.yaml": Text2SqlConfig,
    ROOT / "configs/medvqa/qwen2.5-vl-7b-vllm-server.yaml": MedVqaConfig,
}


def command(file: Path, label: str) -> list[str]:
    """The words of a command in a recipe's header, without the variables in front."""
    header = file.read_text("utf-8").replace("\\\n#", " ")
    line = next(line for line in header.splitlines() if line.startswith(f"# {label}:"))
    words = shlex.split(line.split(":", 1)[1])
    return [word for word in words if not re.match(r"CUDA_VISIBLE_DEVICES=", word)]


def launched(words: list[str]) -> argparse.Namespace:
    """A command as `accelerate launch` understands it, with its file."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    assert words[:2] == ["accelerate", "launch"]
    parsed = launch_command_parser().parse_args(words[2:])
    return _validate_launch_command(parsed)[0]


@pytest.mark.parametrize("file", [ACCELERATE, *SERVED], ids=lambda file: file.stem)
def test_a_headers_command_launches_fsdp2(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    monkeypatch.chdir(ROOT)
    with patch("torch.cuda.device_count", return_value=8):
        args = launched(command(file, "Run"))
        assert args.use_fsdp
        assert args.module
        assert args.training_script.startswith("apps.")
        assert args.mixed_precision == "bf16"
        with patch.dict("os.environ", prepare_multi_gpu_env(args)):
            plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_ram_efficient_loading


def test_the_file_holds_nothing_that_accelerate_does_not_know() -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    config: Any = load_config_from_file(str(ACCELERATE))
    assert isinstance(config, ClusterConfig)
    assert str(config.distributed_type) in ("FSDP", "DistributedType.FSDP")
    assert config.fsdp_config["fsdp_version"] == 2


@pytest.mark.parametrize(("file", "kind"), SERVED.items(), ids=lambda one: getattr(one, "stem", ""))
def test_the_trainer_asks_the_server_that_the_header_starts(file: Path, kind: type, tmp_path: Path) -> None:
    from trl import GRPOConfig
    from trl.scripts.vllm_serve import make_parser

    config: Any = load(kind, file)
    words = command(file, "Server")
    assert words[:2] == ["trl", "vllm-serve"]
    server, unknown = make_parser().parse_args_and_config(words[2:], return_remaining_strings=True)
    assert unknown == []
    processes = int(re.search(r"--num_processes (\d+)", file.read_text("utf-8")).group(1))  # type: ignore[union-attr]
    step = config.grpo.prompts_per_step * config.grpo.generations
    assert config.grpo.prompts_per_step % processes == 0, "no group is cut in two"
    args = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=step // (config.grpo.gradient_accumulation * processes),
        gradient_accumulation_steps=config.grpo.gradient_accumulation,
        num_generations=config.grpo.generations,
        max_completion_length=config.grpo.max_completion_length,
        **config.grpo.extra,
    )
    assert (args.use_vllm, args.vllm_mode) == (True, "server")
    assert args.vllm_server_base_url == f"http://127.0.0.1:{server.port}"
    assert server.model == config.model.path
    assert server.max_model_len > config.grpo.max_completion_length
    assert step % (config.grpo.gradient_accumulation * processes) == 0
    gpus = re.findall(r"CUDA_VISIBLE_DEVICES=([\d,]+)", file.read_text("utf-8"))
    serving, training = ({*some.split(",")} for some in gpus)
    assert not serving & training
    assert len(training) == processes
    assert len(serving) == server.tensor_parallel_size * server.data_parallel_size
