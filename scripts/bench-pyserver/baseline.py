"""The simplest correct server, to measure against: one `generate` or one forward pass at a time, behind a lock."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

import torch
import uvicorn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

task, folder, port = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(folder)
family = AutoModelForCausalLM if task == "causal" else AutoModelForSequenceClassification
model = family.from_pretrained(folder).eval()
lock = threading.Lock()


def complete(body: dict[str, Any]) -> dict[str, Any]:
    ids = tokenizer(body["prompt"], return_tensors="pt")
    new = body["max_tokens"]
    with lock, torch.no_grad():
        output = model.generate(**ids, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=2)
    answer = output[0, ids["input_ids"].shape[1] :]
    text = tokenizer.decode(answer, skip_special_tokens=True)
    return {"choices": [{"index": 0, "text": text}], "usage": {"completion_tokens": len(answer)}}


def classify(body: dict[str, Any]) -> dict[str, Any]:
    inputs = tokenizer(body["input"], return_tensors="pt")
    with lock, torch.no_grad():
        scores = torch.softmax(model(**inputs).logits[0], dim=-1)
    best = int(scores.argmax())
    return {"choices": [{"index": 0, "label": model.config.id2label[best], "score": float(scores[best])}]}


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer: dict[str, Any] = {"status": "ok"}
    if scope["path"].startswith("/v1"):
        work = complete if task == "causal" else classify
        answer = await asyncio.get_running_loop().run_in_executor(None, work, json.loads(body))
    data = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


uvicorn.run(app, port=int(port), log_level="error", lifespan="off", timeout_keep_alive=75)
