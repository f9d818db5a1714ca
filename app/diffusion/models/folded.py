"""Looking at a text that stays the same: the layer's projections are folded into the text's keys and values.

With queries q = Wx, scores q·k are x·(Wᵀk), and what the output layer makes of a sum of values is the sum of what it
makes of each. For a short text both products take less work than the projections they replace: the half in the widest
layers of Stable Diffusion 1.

B batch, P pixels, T tokens, N heads, D width of a head, C channels
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.kernels import packed
from app.diffusion.kernels.attention import are_exact

# Scores of an image up to which products of all images in one call take less time than packed ones of each.
FEW_SCORES = 1 << 17
# Softmax takes half the time for so many tokens at a time; a score of which nothing remains.
TOKENS_ALIKE = 32
NOTHING = -1e9
# Scores of a pixel per channel, and weights in all, up to which folding saves time, and memory that is worth it.
MOST_SCORES = 2.5
MOST_WEIGHTS = 1 << 19


def is_worth_folding(scores: int, width: int) -> bool:
    """Whether looking at N·T = `scores` keys from `width` channels takes less time folded."""
    return scores <= width or (scores <= MOST_SCORES * width and scores * width <= MOST_WEIGHTS)


@dataclass(frozen=True, slots=True)
class FoldedText:
    """The texts of a batch as one layer sees them.

    `pairs` has, packed for each, what makes (P, N·T) scores, in powers of two, of pixels and what makes the answer of
    probabilities. Where scores are few `whole` has the same, in powers of e, for all texts: what to begin with
    (1, 1, N·T), (B, C, N·T) and (B, N·T, C), with a text that is as long as softmax likes it.
    """

    heads: int
    pairs: tuple[tuple[Tensor, Tensor], ...] = ()
    whole: tuple[Tensor, Tensor, Tensor] | None = None

    def seen_from(self, x: Tensor, bias: Tensor | None, to: Tensor | None = None) -> Tensor:
        """(B, P, C) → (B, P, C): the attention with its output layer, whose bias is given; added to what there is."""
        if self.whole is not None:
            begin, to_scores, to_answer = self.whole
            scores = self._by_head(torch.baddbmm(begin, x, to_scores))
            probabilities = torch.softmax(scores, dim=-1).flatten(2)
            answer = torch.bmm(probabilities, to_answer) if to is None else torch.baddbmm(to, probabilities, to_answer)
            return answer if bias is None else answer + bias
        seen = [self._seen(text, x[text], bias, None if to is None else to[text]) for text in range(len(self.pairs))]
        return seen[0][None] if len(seen) == 1 else torch.stack(seen)

    def _seen(self, text: int, x: Tensor, bias: Tensor | None, to: Tensor | None) -> Tensor:  # (P, C) → (P, C)
        to_scores, to_answer = self.pairs[text]
        powers = self._by_head(packed.multiply(x, to_scores, None)).exp2_()
        sums = powers.sum(dim=-1, keepdim=True)
        if are_exact(sums):
            powers /= sums
        else:  # as is usual, but slower: with the largest subtracted
            exponents = self._by_head(packed.multiply(x, to_scores, None))
            powers = torch.softmax(exponents.float() * math.log(2), dim=-1).to(x.dtype)
        return packed.multiply(powers.flatten(1), to_answer, bias, to=to)

    def _by_head(self, scores: Tensor) -> Tensor:  # (…, N·T) → (…, N, T)
        return torch.unflatten(scores, -1, (self.heads, -1))


def folded(to_q: Tensor, to_out: Tensor, k: Tensor, v: Tensor, *, pixels: int) -> FoldedText:
    """Of the weights (N·D, C) and (C, N·D), and keys and values (B, N, T, D) of texts seen from so many pixels."""
    heads, tokens, width = k.shape[1:]
    few = pixels * heads * tokens <= FEW_SCORES
    queries = torch.unflatten(to_q.float(), 0, (heads, width)) * (width**-0.5 / (1 if few else math.log(2)))
    scores = torch.einsum("ndc,bntd->bntc", queries, k.float()).flatten(1, 2).to(to_q.dtype)
    answers = torch.einsum("cnd,bntd->bcnt", torch.unflatten(to_out.float(), 1, (heads, width)), v.float())
    answers = answers.flatten(2).to(to_q.dtype)
    if few:
        return FoldedText(heads, whole=_whole(heads, scores, answers))
    pairs = zip(map(packed.pack_rows, scores), map(packed.pack_rows, answers), strict=True)
    return FoldedText(heads, pairs=tuple(pairs))


def _whole(heads: int, scores: Tensor, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # (B, N·T, C), (B, C, N·T)
    """See `FoldedText.whole`. Tokens that are not there score so little that their probability is 0."""
    scores, answers = (torch.unflatten(x, 1, (heads, -1)) for x in (scores, answers.transpose(1, 2)))  # (B, N, T, C)
    missing = -scores.shape[2] % TOKENS_ALIKE
    begin = F.pad(scores.new_zeros(heads, scores.shape[2]), (0, missing), value=NOTHING).flatten()
    scores, answers = (F.pad(x, (0, 0, 0, missing)).flatten(1, 2) for x in (scores, answers))
    return begin[None, None], scores.transpose(1, 2).contiguous(), answers
