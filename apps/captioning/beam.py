"""Beam search over a captioner: the likeliest captions of each picture, many pictures at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apps.captioning.model import Captioner, Captions, cache_argument
from common.errors import TouchstoneError, UsageError


@dataclass(frozen=True)
class NBest:
    """The captions found for one picture, best first; no text stands twice.

    Attributes:
        captions: `(n,)` captions, n at least 1 and at most the beam.
        scores: `(n,)` see `beam_search`; non-increasing.
    """

    captions: Captions
    scores: Tensor

    @property
    def text(self) -> str:
        """The best caption."""
        return self.captions.texts[0]


@dataclass
class _Beam:
    """The hypotheses of `B` pictures, `K` each.

    Attributes:
        tokens: `(B, K, T)` ids, the padding id after the end token.
        sums: `(B, K)` log-probability; minus infinity where there is no such hypothesis.
        lengths: `(B, K)` tokens, the end token included.
        ended: `(B, K)` whether the end token is reached.
    """

    tokens: Tensor
    sums: Tensor
    lengths: Tensor
    ended: Tensor


@torch.no_grad()
def beam_search(
    captioner: Captioner, features: Tensor, longest: int, beam: int = 5, length_penalty: float = 0.0
) -> list[NBest]:
    r"""The best captions of each picture.

    At every step the `beam` best of the ended hypotheses and all continuations of the others are kept. A hypothesis
    that has ended is not continued. With a beam of 1 this is greedy decoding, token for token.

    Args:
        captioner: the model, in evaluation mode.
        features: `(B, features)`.
        longest: most tokens, the end token included; captions that reach it are cut, not ended.
        beam: hypotheses kept for each picture.
        length_penalty: p in the score :math:`\sum_t \log p(c_t) / |c|^p`, |c| counting the end token. 0, the default,
            ranks by plain log-probability, which favours short captions; 1 by the mean over tokens.

    Returns:
        For each picture its distinct captions, best first. Fewer than `beam` where token sequences read the same.

    Raises:
        UsageError: `beam` or `longest` is less than 1, or the penalty is no finite number.
        TouchstoneError: the model's chances are not numbers: its weights are damaged.
    """
    if beam < 1 or longest < 1:
        raise UsageError(f"beam search needs a beam and a length of at least 1, not {beam} and {longest}")
    if not math.isfinite(length_penalty):
        raise UsageError(f"the length penalty must be a finite number, not {length_penalty}")
    if not len(features):
        return []
    if beam == 1:
        return _greedy(captioner, features, longest, length_penalty)
    from transformers import DynamicCache

    state = _start(len(features), beam, captioner.device)
    # Only hypotheses that go on are computed: flat numbers (picture * beam + place) of the decoder's rows.
    live = torch.arange(len(features), device=captioner.device) * beam
    cache = DynamicCache()
    memory = {cache_argument(captioner.decoder): cache}
    step_input = captioner.prefix(features.to(captioner.device))
    for _ in range(longest):
        logits = captioner.decoder(inputs_embeds=step_input, use_cache=True, **memory).logits[:, -1]
        chances = torch.log_softmax(logits.float(), -1)
        if chances.isnan().any():
            raise TouchstoneError("the captioner's chances are not numbers; its weights are damaged, train it again")
        state, parents = _advance(state, chances, live, captioner, length_penalty)
        going = (~state.ended & state.sums.isfinite()).flatten().nonzero().squeeze(1)
        if not len(going):
            break
        # Each row takes over the keys and values of the hypothesis that it continues.
        place = torch.full((state.sums.numel(),), -1, device=live.device)
        place[live] = torch.arange(len(live), device=live.device)
        cache.batch_select_indices(place[parents.flatten()[going]])
        live = going
        step_input = captioner.decoder.get_input_embeddings()(state.tokens.flatten(0, 1)[live, -1]).unsqueeze(1)
    return [_ranked(captioner, state, picture, length_penalty) for picture in range(len(features))]


def _start(pictures: int, beam: int, device: torch.device) -> _Beam:
    """One empty hypothesis for each picture."""
    sums = torch.full((pictures, beam), -math.inf, device=device)
    sums[:, 0] = 0
    lengths = torch.zeros(pictures, beam, dtype=torch.long, device=device)
    return _Beam(lengths.new_zeros(pictures, beam, 0), sums, lengths, lengths.bool())


def _advance(
    state: _Beam, chances: Tensor, live: Tensor, captioner: Captioner, length_penalty: float
) -> tuple[_Beam, Tensor]:
    """The next hypotheses, and the flat number `(B, K)` of the one that each comes from.

    Args:
        state: the hypotheses so far.
        chances: `(L, V)` log-probability of every token after the hypotheses `live`.
        live: `(L,)` flat numbers.
        captioner: tells the end token and the padding.
        length_penalty: see `beam_search`.
    """
    pictures, beam = state.sums.shape
    # No more than `beam` continuations of one hypothesis can be kept.
    best, words = chances.topk(min(beam, chances.shape[1]), -1)
    width = best.shape[1]
    sums = best.new_full((pictures * beam, width), -math.inf)
    tokens = words.new_full((pictures * beam, width), captioner.pad)
    sums[:, 0] = torch.where(state.ended, state.sums, -math.inf).flatten()
    sums[live] = state.sums.flatten()[live].unsqueeze(1) + best
    tokens[live] = words
    lengths = (state.lengths + (~state.ended).long()).flatten().unsqueeze(1).expand(-1, width)
    scores = _score(sums, lengths, length_penalty).view(pictures, -1)
    # Stable, so that equal scores rank the same however many pictures there are.
    chosen = scores.sort(dim=1, descending=True, stable=True).indices[:, :beam]
    first = torch.arange(pictures, device=chosen.device).unsqueeze(1) * beam
    parents = first + chosen // width
    token = tokens.view(pictures, -1).gather(1, chosen)
    ended = state.ended.flatten()[parents]
    following = _Beam(
        torch.cat([state.tokens.flatten(0, 1)[parents], token.unsqueeze(-1)], -1),
        sums.view(pictures, -1).gather(1, chosen),
        lengths.reshape(pictures, -1).gather(1, chosen),
        ended | (token == captioner.end),
    )
    return following, parents


def _ranked(captioner: Captioner, state: _Beam, picture: int, length_penalty: float) -> NBest:
    """One picture's hypotheses, already in order; of those that read the same only the best."""
    tokens, lengths = state.tokens[picture], state.lengths[picture]
    mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)
    texts = captioner.decode(tokens, mask)
    first: dict[str, int] = {}
    for row, (text, there) in enumerate(zip(texts, state.sums[picture].isfinite().tolist(), strict=True)):
        if there:
            first.setdefault(text, row)
    rows = list(first.values())
    scores = _score(state.sums[picture], lengths, length_penalty)[rows]
    longest = int(lengths[rows].max())
    return NBest(Captions(tokens[rows, :longest], mask[rows, :longest], [texts[row] for row in rows]), scores)


def _greedy(captioner: Captioner, features: Tensor, longest: int, length_penalty: float) -> list[NBest]:
    features = features.to(captioner.device)
    found = captioner.generate(features, longest)
    # Its own pass over the finished captions: greedy decoding keeps no chances.
    chances = captioner.log_probs(features, found.tokens) * found.mask
    scores = _score(chances.sum(1), found.lengths, length_penalty)
    return [
        NBest(
            Captions(found.tokens[row : row + 1, :length], found.mask[row : row + 1, :length], [found.texts[row]]),
            scores[row : row + 1],
        )
        for row, length in enumerate(found.lengths.tolist())
    ]


def _score(sums: Tensor, lengths: Tensor, length_penalty: float) -> Tensor:
    return sums / lengths.clamp(min=1).to(sums.dtype) ** length_penalty
