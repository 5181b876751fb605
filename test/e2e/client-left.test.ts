import { expect, setDefaultTimeout, test } from "bun:test";
import { TestDaemon } from "../support/daemon.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** A client that leaves in the middle of a request, at a real llama-server under the daemon. */

setDefaultTimeout(120_000);

const API_KEY = "instance-key";

test("a request without a stream ends when its client leaves, however closely the daemon is watched", async () => {
  // With a context that shifts, this generation has no end of its own.
  const env = { LLAMA_ARG_CONTEXT_SHIFT: "1", HEALTH_INTERVAL: "1" };
  await using daemon = await TestDaemon.start({ llamaServer: realServer(), env });
  const { id } = await daemon.create({
    model: tinyModel,
    alias: "solar-tiny",
    api_key: API_KEY,
    host: "127.0.0.1",
    ctx_size: 2048,
    threads: 1,
  });
  const { port } = (await daemon.start(id)).body.instance;
  const socket = daemon.socket(`/instances/${id}/state`);
  const controller = new AbortController();
  const answer = fetch(`http://127.0.0.1:${port}/completion`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "hello", n_predict: -1, ignore_eos: true }),
    signal: controller.signal,
  }).then(
    () => "answered",
    () => "left",
  );
  // Two looks at its slots: the daemon watches it as it watches any that is at work.
  await until("its progress to be told twice", async () => {
    const counts = socket.frames.map(({ data }) => (data as { generated_tokens: number | null }).generated_tokens);
    return new Set(counts.filter((count) => count !== null)).size >= 2;
  });
  controller.abort();
  expect(await answer).toBe("left");
  await until("its slot to be free", async () => !(await daemon.state(id)).busy);
  await until("the log to tell of it", async () =>
    (await daemon.logs(id)).some(({ line }) => line.includes("cancel task")),
  );
});
