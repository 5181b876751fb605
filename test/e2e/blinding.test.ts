import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { TestDaemon } from "../support/daemon.ts";
import { realServer, tinyModel } from "../support/paths.ts";
import { until } from "../support/until.ts";

/** The built daemon with a real llama-server, where something keeps from it what the server says of itself. */

setDefaultTimeout(120_000);

const config = {
  model: tinyModel,
  alias: "tiny",
  api_key: "instance-key",
  host: "127.0.0.1",
  ctx_size: 65_536,
  threads: 1,
};

/** An answer that goes on until its reader leaves, or the context is full. */
const generate = (instance: Instance, signal: AbortSignal): void =>
  void fetch(`http://127.0.0.1:${instance.port}/v1/completions`, {
    method: "POST",
    headers: { Authorization: "Bearer instance-key", "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Tell me a story.", n_predict: 65_000, ignore_eos: true, stream: true }),
    signal,
  })
    .then((answer) => answer.text())
    .catch(() => undefined);

const slotsOf = async (instance: Instance): Promise<unknown[]> => {
  const answer = await fetch(`http://127.0.0.1:${instance.port}/slots`, {
    headers: { Authorization: "Bearer instance-key" },
  });
  return [answer.status, ((await answer.json()) as unknown[]).length];
};

const isSeenAtWork = async (daemon: TestDaemon, instance: Instance): Promise<void> => {
  const leaving = new AbortController();
  generate(instance, leaving.signal);
  await until("it to generate", async () => {
    const state = await daemon.state(instance.id);
    return state.busy && state.phase === "generating" && (state.generated_tokens ?? 0) > 0;
  });
  leaving.abort();
  await until("it to be idle", async () => !(await daemon.state(instance.id)).busy);
};

/** In the folder of a daemon: a llama-server that adds flags of its own. */
const withFlags = (dir: string, flags: string): string => {
  const script = join(dir, "llama-server");
  writeFileSync(script, `#!/bin/sh\nexec '${realServer()}' "$@" ${flags}\n`);
  chmodSync(script, 0o755);
  return script;
};

const startWith = async (flags: string): Promise<TestDaemon> => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  return TestDaemon.start({ dir, llamaServer: withFlags(dir, flags) });
};

describe.concurrent("a llama-server that listens and is not reached says so while it is starting", () => {
  const cases: [flags: string, told: RegExp][] = [
    ["--api-prefix /x", /its log says that it listens, but its health check http:\S+\/health answers 404/],
    ["--host 127.0.0.2", /its log says that it listens, but its health check http:\S+\/health gets no answer/],
    ["--host ./model.sock", /its log says that it listens, but its health check http:\S+\/health gets no answer/],
  ];
  for (const [flags, told] of cases) {
    test(`with ${flags}`, async () => {
      await using daemon = await startWith(flags);
      const { id } = await daemon.create(config);
      const { status, body } = await daemon.start(id, 0);
      expect([status, body.instance.status]).toEqual([200, "starting"]);
      const instance = await until("it to be told", async () => {
        const seen = await daemon.get(id);
        return seen.error_message === null ? null : seen;
      });
      expect([instance.status, instance.error_message]).toEqual(["starting", expect.stringMatching(told)]);
      expect((await daemon.stop(id)).body.instance).toMatchObject({ status: "stopped", error_message: null });
    });
  }
});

describe.concurrent("a llama-server at work is seen to be", () => {
  const environments: Record<string, Record<string, string>> = {
    "writes JSON lines": { LLAMA_ARG_LOG_JSONL: "1" },
    "says nothing": { LLAMA_ARG_LOG_VERBOSITY: "0", LLAMA_LOG_VERBOSITY: "0" },
    "has no /slots": { LLAMA_ARG_ENDPOINT_SLOTS: "0" },
    "listens elsewhere": {
      LLAMA_ARG_API_PREFIX: "/x",
      LLAMA_ARG_SSL_KEY_FILE: "k.pem",
      LLAMA_ARG_SSL_CERT_FILE: "c.pem",
    },
    "is another's": {
      LLAMA_ARG_HF_REPO: "a/b",
      LLAMA_ARG_API_KEY_FILE: "/none",
      LLAMA_SERVER_ROUTER_PORT: "9",
      LLAMA_ARG_PORT: "x",
    },
  };
  for (const [name, env] of Object.entries(environments)) {
    test(`where the daemon's environment has variables by which it ${name}`, async () => {
      await using daemon = await TestDaemon.start({
        llamaServer: realServer(),
        env: { ...env, LLAMA_ARG_N_PARALLEL: "3" },
      });
      const { id } = await daemon.create(config);
      const { body } = await daemon.start(id);
      expect([body.detail, body.instance?.status]).toEqual([undefined as never, "running"]);
      // What is the user's to set goes on working.
      expect(await slotsOf(body.instance)).toEqual([200, 3]);
      await isSeenAtWork(daemon, body.instance);
    });
  }

  for (const flags of ["--log-disable", "--log-verbosity 0", "--log-jsonl"]) {
    test(`where LLAMA_SERVER is a script that adds ${flags}`, async () => {
      await using daemon = await startWith(flags);
      const { id } = await daemon.create(config);
      const { body } = await daemon.start(id);
      expect([body.detail, body.instance?.status]).toEqual([undefined as never, "running"]);
      await isSeenAtWork(daemon, body.instance);
    });
  }
});
