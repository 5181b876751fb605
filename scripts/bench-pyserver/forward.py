"""What batched forward passes alone give: texts tokenised before, taken 32 at a time and packed as the server does.

Usage: forward.py FOLDER, then lines on stdin: the texts as JSON, and after that a number of seconds for each run.
Answers each with a line: first `ready`, then texts a second.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from solar_pyserver.packing import pack
from solar_pyserver.scoring import Scorer
from solar_pyserver.service import MAX_CLASSIFY_CELLS, MAX_CLASSIFY_ROWS
from solar_pyserver.threads import tune_threads

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
scorer = Scorer(AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval(), tokenizer, "softmax")
batch = tokenizer(json.loads(sys.stdin.readline()))
encodings = [{name: values[at] for name, values in batch.items()} for at in range(len(batch["input_ids"]))]
with torch.inference_mode():
    tune_threads(lambda: scorer(encodings[:8]))
    print("ready", flush=True)
    at = 0
    for line in sys.stdin:
        done = 0
        started = time.perf_counter()
        while time.perf_counter() - started < float(line):
            some = [encodings[(at + step) % len(encodings)] for step in range(32)]
            at += 32
            for group in pack([len(item["input_ids"]) for item in some], MAX_CLASSIFY_CELLS, MAX_CLASSIFY_ROWS):
                done += len(scorer([some[place] for place in group]))
        print(done / (time.perf_counter() - started), flush=True)
