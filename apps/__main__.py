"""`python -m apps`: the applications of the suite."""

from __future__ import annotations

import sys

APPS = {
    "text2sql": "question + schema -> SQL: SFT, then GRPO with an execution-first, multilingual reward",
    "captioning": "picture -> sentence, without paired data: text-only initialisation, then CLIP's rewards",
    "medvqa": "medical picture + question -> answer: SFT, then GRPO with a reward that reads polarity, side, numbers",
    "driving": "route + view from above -> steer and pedals: PPO or SAC, language goals through CLIP as reward",
    "text3d": "prompt -> 3D scene (in work): shaped by an analytic critic, or by diffusion, CLIP and a VLM of yours",
}


def main() -> int:
    """List the applications."""
    lines = ["usage: python -m apps.APP VERB [...]", "", *(f"  apps.{name:<12}{text}" for name, text in APPS.items())]
    sys.stdout.write("\n".join([*lines, "", "More: python -m apps.APP --help"]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
