"""The check at the start whether texts may share a batch: a text's scores must not depend on the texts beside it.

Padding can be seen by models that mix all positions without a mask (FNet, Nystromformer, ConvBERT, Funnel), by
absolute positions where it stands on the left, and by a head that looks for the last token that is not padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .batch_model import HALF_TOLERANCE, TOLERANCE
from .classification_worker import Encoding
from .errors import one_line
from .scoring import Scorer

IN_BATCHES = "in batches"
# Odd and even, for models that pool pairs of positions.
SHORT = (5, 18, 39)
LONGEST = 1024
# Floating-point operations that the passes over the long texts may take, for a start of some seconds at most.
WORK = {"cpu": 4e11}
ACCELERATOR_WORK = 4e13
WORDS = "the sun is warm and good but a bad day was sad so we learn words again with you today for all of them"


def check_batching(scorer: Scorer, tokenizer: Any, context: int) -> str:
    """`in batches`, or `one at a time: ` and the reason. Sets the side of the scorer's padding.

    `context` is the longest text in tokens.
    """
    if scorer.padding is None:
        return "one at a time: its tokenizer has no padding token"
    if scorer.sparse:
        return "one at a time: its attention changes with the longest text"
    try:
        with torch.inference_mode():
            reason = _try_sides(scorer, tokenizer, context)
    except Exception as error:
        # Whether the model answers at all is found by the pass that warms it up.
        reason = f"the trial of a batch failed: {one_line(error)}"
    if not reason:
        return IN_BATCHES
    scorer.forget_padding()
    return f"one at a time: {reason}"


def _try_sides(scorer: Scorer, tokenizer: Any, context: int) -> str:
    """How padding changes the scores, whichever side it is on. Empty where one side does not: the scorer keeps it."""
    lengths = [
        tuple(min(length, context) for length in SHORT),
        (min(SHORT[0], context), long_length(scorer.model, context)),
    ]
    groups = [[_encoding(tokenizer, length) for length in group] for group in lengths]
    alone = [[scorer.logits([text])[0] for text in group] for group in groups]
    reason = ""
    scorer.know_padding()
    for left in (scorer.left, not scorer.left):
        scorer.left = left
        reason = _difference(scorer, groups, alone)
        if not reason:
            break
    return reason


def long_length(model: Any, context: int) -> int:
    """Tokens of the long text to try: it runs alone, and beside a short text that is padded to its length."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    work = WORK.get(next(model.parameters()).device.type, ACCELERATOR_WORK)
    affordable = int(work / (2 * 3 * max(1, parameters)))
    return min(context, LONGEST, max(64, affordable))


def _difference(scorer: Scorer, groups: Sequence[Sequence[Encoding]], alone: Sequence[Sequence[Any]]) -> str:
    """How the scores of a batch differ from those of its texts alone. Empty where they do not."""
    for group, expected in zip(groups, alone, strict=True):
        try:
            together = scorer.logits(group)
        except Exception as error:
            return f"a batch failed: {one_line(error)}"
        wanted = torch.stack(list(expected))
        size = float((together - wanted).abs().max())
        allowed = float(wanted.abs().max()) * TOLERANCE.get(scorer.model.dtype, HALF_TOLERANCE)
        if not size <= allowed:
            return f"a batch gives other scores (logits differ by {size:.2g})"
    return ""


def _encoding(tokenizer: Any, length: int) -> Encoding:
    words = WORDS.split(" ")
    text = " ".join(words[at * at % len(words)] for at in range(length))
    return dict(tokenizer(text, truncation=True, max_length=length))
