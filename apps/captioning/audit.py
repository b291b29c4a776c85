"""`audit`: would this reward teach true captions? Mutants, hacks, length and batches, before a run is paid for."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.captioning.auditing.result import CaptionAudit, RewardAssay
from apps.captioning.train_config import RewardConfig
from common.errors import UsageError

if TYPE_CHECKING:
    from apps.captioning.auditing.assay import Subjects
    from apps.captioning.config import CaptioningConfig
    from apps.captioning.data import Example
    from common.models.clip import Clip
    from common.rewards.base import Reward

#: Wording that pays this much (rank correlation within a picture) teaches length, not content.
STEEPEST = 0.5
#: Of right and wrong captions of one scene, a reward should order this share rightly.
LEAST_AGREEMENT = 0.7
#: What may be a part of the reward and is no subject of the audit by itself.
PARTS = ("grammar", "repetition", "bleu", "similarity")


def run_audit(config: CaptioningConfig, rows: int = 140, out: str | None = None, json_output: bool = False) -> int:
    """Assay the rewards on pictures of `heldout` and their captions; writes `audit.json` and `report.html`.

    CLIP-cos, CLIP-agg, CLIPScore, CIDEr-D where pictures have several captions, naturalness where there is a trained
    discriminator, and what the config pays for.

    Args:
        config: whose `reward` is assayed on `heldout`.
        rows: pictures, drawn by the seed; 0 takes all.
        out: folder of the report; `audit` in the runs folder where not given.
        json_output: print the figures as JSON.

    Raises:
        DataError: the pictures cannot be read or have no captions.
        UsageError: a model or the corpus cannot be loaded.
    """
    if config.reward.own:
        raise UsageError("reward.own: assay it by python -m apps audit --app captioning --reward FILE")
    from apps.captioning.auditing.page import print_audit, write_report
    from apps.captioning.data import load_examples
    from common.rewards.audit.report import hand_over
    from common.training.run import set_threads

    set_threads(config.threads)
    found = audit_rewards(config, load_examples(config.heldout), rows, json_output)
    folder = Path(out) if out else Path(config.runs) / "audit"
    return hand_over(found.to_json(), write_report(found, config), folder, lambda: print_audit(found), json_output)


def audit_rewards(
    config: CaptioningConfig,
    everything: Sequence[Example],
    rows: int = 0,
    quiet: bool = False,
    names: Sequence[str] | None = None,
    own: Mapping[str, Reward] | None = None,
) -> CaptionAudit:
    """Assay the rewards of a config.

    Args:
        config: settings of rewards and models.
        everything: pictures with captions; CIDEr-D weighs words by all of them.
        rows: pictures to draw from them; 0 takes all.
        quiet: no progress bar.
        names: which rewards; those named in `run_audit` where not given.
        own: rewards that are not the config's, by name; they get pictures as `images`, not their features, and as
            `caption` one of the others that are true.
    """
    from apps.captioning.auditing import assay
    from apps.captioning.features import open_clip_model, picture_features
    from common.ui import progress

    drawn = [example for example in everything if example.captions] or list(everything)
    if rows and rows < len(drawn):
        drawn = random.Random(config.seed).sample(drawn, rows)
    clip = open_clip_model(config.clip)
    pictures = picture_features(clip, drawn, config.clip.cache, config.heldout.bad_pictures, quiet)
    those = assay.subjects(pictures, config.seed)
    notes = [f"{name}: {reason}" for name, reason in pictures.bad]
    rewards: dict[str, tuple[Reward, Reward, Subjects]] = {}
    configured = ""
    if names is None or names:
        # What a caption costs, and whether its batch matters, is only seen by a CLIP that remembers no text.
        material = _material(config, clip, everything, those, notes, quiet)
        found, configured = material.rewards(clip, notes, names)
        forgetful, _ = material.rewards(_plain_clip(config), [], names)
        rewards = {name: (reward, forgetful[name], those) for name, reward in found.items()}
    if own:
        seen = replace(those, columns={**those.columns, **_shown(those)})
        rewards |= {name: (reward, reward, seen) for name, reward in own.items()}
    assays = {}
    with progress("audit", len(rewards), quiet) as bar:
        for number, (name, (reward, fresh, subjects)) in enumerate(rewards.items()):
            bar(number, name)
            assays[name] = assay_reward(reward, fresh, subjects, config.seed)
    return CaptionAudit(assays, configured, those, notes)


def _material(
    config: CaptioningConfig,
    clip: Clip,
    everything: Sequence[Example],
    those: Subjects,
    notes: list[str],
    quiet: bool,
) -> _Material:
    from apps.captioning.data import load_corpus
    from apps.captioning.features import corpus_features

    sentences: list[str] = []
    if config.corpus.format == "pocket" or config.corpus.path:
        sentences = load_corpus(config.corpus)
    else:
        notes.append("clip_agg was left out: it needs a corpus, and corpus.path is empty")
    corpus = corpus_features(clip, sentences, config.clip.cache, quiet) if sentences else None
    return _Material(config, sentences, corpus, [example.captions for example in everything], those)


def _shown(those: Subjects) -> dict[str, Any]:
    """Columns for a reward that knows nothing of features."""
    several = zip(those.columns["reference"], those.columns["completion"], strict=True)
    return {
        "images": [example.picture() for example in those.examples],
        "caption": [references[0] if references else caption for references, caption in several],
    }


def assay_reward(reward: Reward, fresh: Reward, those: Subjects, seed: int = 0) -> RewardAssay:
    """Everything about one reward.

    Args:
        reward: the reward; may remember texts.
        fresh: the same without memory, to measure its cost and whether the batch matters.
        those: pictures with true captions.
        seed: of what is drawn.
    """
    from apps.captioning.auditing import assay
    from common.rewards.audit import audit

    hacks = assay.controls(those, seed)
    general = audit(reward, those.columns, hacks, assay.mutants(those, seed), seed=seed)
    kills = assay.kills(general, those, hacks)
    facts = {one.operator for one in general.mutations}
    slope = assay.length_slope(reward, those)
    batch = assay.batch_change(fresh, those)
    padding, agreement = assay.padding(reward, those), assay.agreement(reward, those, seed)
    span = reward.bounds[1] - reward.bounds[0]
    flags = [*general.flags]
    if abs(slope.mean) > STEEPEST:
        flags.append(f"of true captions of one picture, the {'longer' if slope.mean > 0 else 'shorter'} score higher")
    if batch > 1e-4 * span:
        flags.append(f"a row's score changes by up to {batch:.3g} with the rows beside it")
    if agreement is not None and agreement.pairwise.mean < LEAST_AGREEMENT:
        flags.append(
            f"right and wrong captions are ordered rightly in {agreement.pairwise.mean:.0%} of the pairs only"
        )
    if any(change.n < len(those) for change in padding.values()):
        flags.append("over-long captions cannot be scored")
    return RewardAssay(
        general,
        kills,
        assay.together([one for name, one in kills.items() if name in facts]),
        assay.together([one for name, one in kills.items() if name not in facts]),
        slope,
        padding,
        batch,
        agreement,
        assay.cost(fresh, those),
        flags,
    )


@dataclass(frozen=True)
class _Material:
    """What rewards are made of."""

    config: CaptioningConfig
    sentences: Sequence[str]
    corpus: Any
    captions: Sequence[Sequence[str]]
    those: Subjects

    def rewards(
        self, clip: Clip, notes: list[str], names: Sequence[str] | None = None
    ) -> tuple[dict[str, Reward], str]:
        """The rewards by name, and which of them is the configured one.

        Args:
            clip: the CLIP that sees.
            notes: is told what was left out.
            names: which; also parts that the config has no weight for. Those that an audit looks at where not given.
        """
        found, configured = self._usual(clip, notes)
        if names is None:
            return found, configured
        for name in names:
            if name not in found and name in PARTS:
                found[name] = self._part(name, clip)
        return {name: found[name] for name in names if name in found}, configured

    def _part(self, name: str, clip: Clip) -> Reward:
        """A part of the reward by itself."""
        from apps.captioning.rewards import build_rewards

        alone = RewardConfig(clip_cos=0.0, paired=True)
        setattr(alone, name, 1.0)
        return build_rewards(alone, clip, self.corpus, None, self.captions, self.sentences)[name][0]

    def _usual(self, clip: Clip, notes: list[str]) -> tuple[dict[str, Reward], str]:
        from apps.captioning.rewards import ClipAgg, ClipCos, build_rewards
        from apps.captioning.score import naturalness_snapshot
        from common.rewards.compose import WeightedSum
        from common.rewards.image import ClipScore
        from common.rewards.text import CiderD
        from common.rewards.text.cider import DocumentFrequency

        config, paid = self.config, self.config.reward
        judge = naturalness_snapshot(config)
        found: dict[str, Reward] = {"clip_cos": ClipCos(clip)}
        if self.corpus is not None:
            found["clip_agg"] = ClipAgg(clip, self.corpus, paid.temperature, paid.cos_weight, paid.top_k)
        found["clip_score"] = ClipScore(clip, prefix=config.evaluate.prefix, differentiable=False)
        several = sum(bool(references) for references in self.those.columns["reference"])
        if several > len(self.those) / 2:
            known = [captions for captions in self.captions if captions]
            found["cider_d"] = CiderD(DocumentFrequency.from_references(known))
        else:
            notes.append("cider_d was left out: most pictures have one caption only")
        if judge is not None:
            found["naturalness"] = judge
        else:
            notes.append(f"naturalness was left out: no trained discriminator at {config.discriminator.path}")
        # An audit trains nothing, so it may look at captions.
        allowed = replace(paid, paired=True, naturalness=paid.naturalness if judge is not None else 0.0)
        try:
            parts = build_rewards(allowed, clip, self.corpus, judge, self.captions, self.sentences)
        except UsageError as error:
            raise UsageError(f"{error}; {'; '.join(notes)}" if notes else str(error)) from error
        if len(parts) > 1:
            found["mixture"] = WeightedSum(parts, "mixture")
            return found, "mixture"
        (name, (reward, _)) = next(iter(parts.items()))
        # CIDEr-D goes by another name in the config.
        name = "cider_d" if name == "cider" else name
        found.setdefault(name, reward)
        return found, name


def _plain_clip(config: CaptioningConfig) -> Clip:
    from apps.captioning.model import torch_device
    from common.models.clip import Clip

    described = config.clip
    device = str(torch_device(described.device))
    return Clip(described.name, described.pretrained or None, device, batch_size=described.batch_size)
