"""What batched forward passes alone give: texts tokenised before, taken 32 at a time and packed as the server does.

Usage: forward.py FOLDER SECONDS < texts.json. Prints texts a second.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from solar_pyserver.classification import Scorer
from solar_pyserver.packing import pack
from solar_pyserver.service import MAX_CLASSIFY_CELLS, MAX_CLASSIFY_ROWS
from solar_pyserver.threads import settle_threads

folder, seconds = sys.argv[1], float(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder)
scorer = Scorer(AutoModelForSequenceClassification.from_pretrained(folder).eval(), tokenizer, "softmax")
batch = tokenizer(json.load(sys.stdin))
encodings = [{name: values[at] for name, values in batch.items()} for at in range(len(batch["input_ids"]))]
done = at = 0
with torch.inference_mode():
    settle_threads(lambda: scorer(encodings[:8]))
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        some = [encodings[(at + step) % len(encodings)] for step in range(32)]
        at += 32
        for group in pack([len(item["input_ids"]) for item in some], MAX_CLASSIFY_CELLS, MAX_CLASSIFY_ROWS):
            done += len(scorer([some[place] for place in group]))
    print(done / (time.perf_counter() - started))
