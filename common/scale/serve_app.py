"""A reward under Ray Serve, which joins the requests of many callers into batches.

    serve run common.scale.serve_app:app reward=configs/rewards/token-f1.yaml token_file=token replicas=2

Every setting of `ServeConfig` is an argument; address and port are Serve's own (`serve start --http-host ...`), so a
token is needed here unless `open=true` says that nobody else can connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from common import web
from common.config import load
from common.errors import UsageError
from common.files import locate
from common.rewards.build import read, read_block
from common.scale.batching import Batch, Result, score_together
from common.scale.config import ServeConfig
from common.scale.serve import check_replicas
from common.scale.serving import RewardService, fingerprint_of

if TYPE_CHECKING:
    from ray.serve import Application


class RewardReplica:
    """One process that scores."""

    def __init__(self, config: ServeConfig, file: str) -> None:
        self.reward = read(Path(file))
        self.lock = asyncio.Lock()
        token = web.read_token(config.token_file, "the token") if config.token_file else None
        fingerprint = fingerprint_of(read_block(file, "reward"))
        self.service = RewardService(self.reward, fingerprint, self.score, token, config.limits, config.pending)
        self.joint_rows = config.joint_rows
        queue: Any = self.join
        queue.set_max_batch_size(config.joint_rows)
        queue.set_batch_wait_timeout_s(config.joint_wait)

    async def score(self, batch: Batch) -> Result:
        """Score one request, alone where it is large already."""
        return (await self.together([batch]))[0] if batch.size >= self.joint_rows else await self.join(batch)

    @serve.batch(batch_size_fn=lambda batches: sum(batch.size for batch in batches))
    async def join(self, batches: Sequence[Batch]) -> list[Result]:
        """Score the requests that came together."""
        return await self.together(batches)

    async def together(self, batches: Sequence[Batch]) -> list[Result]:
        """Score requests in one call; an error is a result, so that it meets only who caused it."""
        async with self.lock:
            return await asyncio.to_thread(score_together, self.reward, batches)

    async def __call__(self, request: Request) -> JSONResponse:
        """One HTTP request."""
        # Under a prefix of the user's own, ours are the paths below it.
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        status, body = await self.service.answer(request.method, path, request.headers, request.stream())
        return JSONResponse(body, status)


def build_app(config: ServeConfig, file: str) -> Application:
    """The application of a reward's file; checks settings and reward before anything is started.

    Raises:
        UsageError: the settings or the reward cannot be.
    """
    config.check()
    check_replicas(config, file)
    file = str(locate(file).resolve())
    if config.token_file:
        web.read_token(config.token_file, "the token")
        config.token_file = str(Path(config.token_file).resolve())
    deployment: Any = serve.deployment(
        name="reward",
        num_replicas=max(1, config.replicas),
        ray_actor_options={"num_cpus": config.cpus, "num_gpus": config.gpus},
        max_ongoing_requests=config.pending,
        health_check_period_s=5,
    )(RewardReplica)
    return deployment.bind(config, file)


def app(args: Mapping[str, Any]) -> Application:
    """What `serve run common.scale.serve_app:app NAME=VALUE ...` calls.

    Raises:
        UsageError: an unknown argument, no `reward`, or neither a token nor `open=true`.
    """
    settings = dict(args)
    file, unprotected = settings.pop("reward", None), str(settings.pop("open", "false")).lower() == "true"
    if not file:
        raise UsageError("give a reward: serve run common.scale.serve_app:app reward=FILE.yaml")
    config = load(ServeConfig, None, [f"--{name}={value}" for name, value in settings.items()])
    if not config.token_file and not unprotected:
        raise UsageError("give token_file=FILE, or open=true where nobody else can connect to this Serve")
    return build_app(config, str(file))
