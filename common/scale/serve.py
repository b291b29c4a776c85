"""The verb `serve`: a reward of a config as a web service, in this process or in replicas under Ray Serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UsageError
from common.scale.config import ServeConfig


def run_serve(config: ServeConfig, file: str) -> int:
    """Serve until interrupted.

    Args:
        config: see `ServeConfig`.
        file: YAML file with a `reward:` block.

    Raises:
        UsageError: the settings or the reward cannot be; see `ServeConfig.check` and `common.rewards.build.read`.
        DataError: the token cannot be read.
    """
    from common import ui, web

    config.check()
    if config.token_file:
        web.read_token(config.token_file, "the token")
    if config.replicas == 0:
        _serve_here(config, file)
        return 0
    with served_on_ray(config, file) as url:
        ui.say(f"{file} at {url}, {config.replicas} replicas; end it with Ctrl-C")
        _wait()
    return 0


def _serve_here(config: ServeConfig, file: str) -> None:
    import uvicorn

    from common import ui, web
    from common.rewards.build import read, read_block
    from common.scale.serving import RewardService, fingerprint_of, in_threads

    reward = read(Path(file))
    token = web.read_token(config.token_file, "the token") if config.token_file else None
    fingerprint = fingerprint_of(read_block(file, "reward"))
    service = RewardService(reward, fingerprint, in_threads(reward), token, config.limits, config.pending)
    ui.say(
        f"{reward.name} of {file} at http://{config.host}:{config.port}, fingerprint {fingerprint}; end it with Ctrl-C"
    )
    uvicorn.run(service, host=config.host, port=config.port, log_level="warning", access_log=False, lifespan="off")


@contextmanager
def served_on_ray(config: ServeConfig, file: str) -> Iterator[str]:
    """The address of a reward served by a Ray of this machine, which ends with the block.

    A Ray that runs already in this process is used and left running.
    """
    import ray
    from ray import serve

    from common.scale.serve_app import build_app
    from common.scale.session import on_ray

    application = build_app(config, file)
    with on_ray(cpus=max(1, int(config.replicas * config.cpus))):
        serve.start(http_options={"host": config.host, "port": config.port})
        try:
            serve.run(application, name="reward", route_prefix="/")
            yield f"http://{config.host}:{config.port}"
        finally:
            if ray.is_initialized():
                serve.shutdown()


def _wait() -> None:
    import threading

    threading.Event().wait()


def check_replicas(config: ServeConfig, file: str) -> None:
    """A reward that learns from what it scores would learn something else in each replica.

    Raises:
        UsageError: there are several replicas of a reward with state; or the reward cannot be built.
    """
    from common.rewards.build import read
    from common.rewards.state import stateful_parts

    parts = [path or type(part).__name__ for path, part in stateful_parts(read(Path(file)))]
    if parts and config.replicas > 1:
        raise UsageError(f"{file}: {', '.join(parts)} learns from what it scores; serve it with one replica")
