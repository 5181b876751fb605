"""Makes the tiny models that ship with the project.

Seeded: on one machine, with the same pins and the same number of threads, it writes the same
bytes again. Another processor may round otherwise, and so learn other weights; the answers are
checked at the end of each run, so such a model is as good.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

DEFAULT_OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "models"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Trains the tiny models and writes them with their expected answers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=("all", "causal", "classifier", "expected"),
        help="which model to train; 'expected' only writes the expected answers again",
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    parser.add_argument("--threads", type=int, default=2, help="threads; part of the result")
    parser.add_argument("--steps", type=int, default=1000, help="training steps of the chat model")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported late, so that --help does not wait for torch.
    import torch

    from causal import CausalPlan, train_causal
    from classifier import train_classifier
    from expected import write_expected

    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if arguments.what in ("all", "causal"):
        train_causal(arguments.out, arguments.seed, CausalPlan(steps=arguments.steps))
    if arguments.what in ("all", "classifier"):
        train_classifier(arguments.out, arguments.seed)
    write_expected(arguments.out)
    print(f"done in {time.monotonic() - started:.0f} s: {arguments.out}")


if __name__ == "__main__":
    main()
