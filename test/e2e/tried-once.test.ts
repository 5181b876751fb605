import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";
import { realServer, tinyModel } from "../support/paths.ts";

/** Starts of a real llama-server that another attempt would not mend. */

setDefaultTimeout(120_000);

const llamaServer = realServer();

/** What a start of this config ends in, and how often it was tried. */
const failureOf = async (daemon: TestDaemon, changes: Record<string, unknown>) => {
  const config = { model: tinyModel, alias: "m", api_key: "k", host: "127.0.0.1", threads: 1, ...changes };
  const { id } = await daemon.create(config);
  const { status, body } = await daemon.start(id);
  const { retry_count } = await daemon.get(id);
  return { status, detail: String(body.detail), tries: retry_count };
};

describe.concurrent("a start is not tried twice", () => {
  test("with a model file that is empty, cut, or no GGUF", async () => {
    await using daemon = await TestDaemon.start({ llamaServer });
    const whole = readFileSync(tinyModel);
    const files: [string, Uint8Array, RegExp][] = [
      ["empty", new Uint8Array(), /failed to read magic|failed to open GGUF|failed to load model/],
      ["text", Buffer.from("this is a text file of some length"), /invalid magic characters/],
      ["cut-head", whole.subarray(0, 2000), /failed to read key-value pairs/],
      ["cut-body", whole.subarray(0, 300_000), /corrupted or incomplete/],
    ];
    for (const [name, bytes, why] of files) {
      const model = join(daemon.dir, `${name}.gguf`);
      writeFileSync(model, bytes);
      const failure = await failureOf(daemon, { model });
      expect([name, failure.status, failure.tries]).toEqual([name, 500, 1]);
      expect(failure.detail).toMatch(why);
    }
  });

  test("with a chat template that does not parse, or cannot be applied", async () => {
    await using daemon = await TestDaemon.start({ llamaServer });
    for (const text of ["{{ bad", "{{ messages[0].content | nofilter }}"]) {
      const template = join(daemon.dir, "template.jinja");
      writeFileSync(template, text);
      const failure = await failureOf(daemon, { chat_template_file: template });
      expect([text, failure.status, failure.tries]).toEqual([text, 500, 1]);
      // Which filter there is not, it says as well, unless it ends before its log is written.
      expect(failure.detail).toContain(`the supplied chat template is not supported: ${text}`);
    }
  });

  test.each([
    ["LLAMA_ARG_CACHE_TYPE_K", "zzz", "Unsupported cache type: zzz"],
    ["LLAMA_ARG_MMPROJ", "/dev/null", "failed to load multimodal model, '/dev/null'"],
    ["LLAMA_ARG_CHAT_TEMPLATE", "{{ bad", "the supplied chat template is not supported"],
  ])("with %s=%s in the environment", async (name, value, why) => {
    await using daemon = await TestDaemon.start({ llamaServer, env: { [name]: value } });
    const failure = await failureOf(daemon, {});
    expect([failure.status, failure.tries]).toEqual([500, 1]);
    expect(failure.detail).toContain(why);
  });

  test("at a host that is no address of this machine, and the field is named", async () => {
    await using daemon = await TestDaemon.start({ llamaServer });
    const failure = await failureOf(daemon, { host: "10.99.9.9" });
    expect([failure.status, failure.tries]).toEqual([500, 1]);
    expect(failure.detail).toContain("host: '10.99.9.9' is no address of this machine");
  });

  test("where memory was too little: what was asked for and the field to lower are told", async () => {
    await using daemon = await TestDaemon.start({ llamaServer });
    const limited = join(daemon.dir, "limited-llama-server");
    writeFileSync(limited, `#!/usr/bin/env bash\nulimit -v 3000000\nexec '${llamaServer}' "$@"\n`);
    chmodSync(limited, 0o755);
    await using small = await TestDaemon.start({ llamaServer: limited });
    const failure = await failureOf(small, { ctx_size: 40_000_000 });
    expect([failure.status, failure.tries]).toEqual([500, 1]);
    expect(failure.detail).toContain("it asked for 39062.50 MB; lower ctx_size");
  });
});

test("but is tried again where another attempt may mend it", async () => {
  await using daemon = await TestDaemon.start();
  const { id } = await daemon.createFake({ exitCode: 1 });
  await daemon.start(id);
  expect((await daemon.get(id)).retry_count).toBe(2);
});

test("a start that dies without a word quotes nothing of an earlier one, in this daemon or the next", async () => {
  await using daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
  const { id } = await daemon.createFake({ exitCode: 9, lastWords: "CUDA error: out of memory" });
  expect((await daemon.start(id)).body.detail).toContain("CUDA error: out of memory");
  const silent = join(daemon.dir, "silent-llama-server");
  writeFileSync(silent, "#!/bin/sh\nexit 7\n");
  chmodSync(silent, 0o755);
  await daemon.end();
  await using next = await daemon.again({ llamaServer: silent });
  expect((await next.start(id)).body.detail).toEndWith("the model server exited with code 7");
});
