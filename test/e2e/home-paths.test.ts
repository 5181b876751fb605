import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FieldError } from "../../src/contract/index.ts";
import { TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { fakeServer, tinyModel } from "../support/paths.ts";

/** Names of files as people write them, and values that can never work. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

describe("`~/` is the home folder of the daemon's user", () => {
  test("in settings and in configs: LOG_DIR, CONFIG_FILE, LLAMA_SERVER, model, chat template", async () => {
    const home = temporaryFolder();
    mkdirSync(join(home, "models"));
    cpSync(tinyModel, join(home, "models/m.gguf"));
    writeFileSync(join(home, "llama-server"), `#!/bin/sh\nexec '${fakeServer}' "$@"\n`, { mode: 0o755 });
    await using daemon = await TestDaemon.start({
      env: { HOME: home, LOG_DIR: "~/logs", CONFIG_FILE: "~/config.json", LLAMA_SERVER: "~/llama-server" },
    });
    const { id } = await daemon.create({
      model: "~/models/m.gguf",
      chat_template_file: "~/models/m.gguf",
      alias: "a",
      api_key: "k",
      host: "127.0.0.1",
    });
    const { status, body } = await daemon.start(id);
    expect([status, body.detail]).toEqual([200, undefined as never]);
    // It is stored as it was written.
    expect((await daemon.get(id)).config).toMatchObject({ model: "~/models/m.gguf" });
    expect(existsSync(join(home, "config.json"))).toBe(true);
    expect((await daemon.get(id)).log_file).toStartWith(join(home, "logs"));
    const missing = await daemon.create({ model: "~/models/none.gguf", alias: "b", api_key: "k" });
    expect((await daemon.start(missing.id)).body.detail).toContain(join(home, "models/none.gguf"));
    const relative = await daemon.create({ model: "models/none.gguf", alias: "c", api_key: "k" });
    expect((await daemon.start(relative.id)).body.detail).toContain(join(daemon.dir, "models/none.gguf"));
  });
});

test("values that can never work are refused by name: no threads, names and paths with blanks at an end", async () => {
  await using daemon = await TestDaemon.start();
  const good = { model: "/m.gguf", alias: "a", api_key: "k" };
  const bad: [Record<string, unknown>, string][] = [
    [{ threads: 0 }, "threads"],
    [{ threads: "0" }, "threads"],
    [{ alias: " " }, "alias"],
    [{ alias: "a " }, "alias"],
    [{ model: " " }, "model"],
    [{ model: " /m.gguf" }, "model"],
    [{ chat_template_file: "/t " }, "chat_template_file"],
    [{ host: " " }, "host"],
    [{ model: undefined, model_id: " x/y", backend_type: "huggingface_causal" }, "model_id"],
  ];
  for (const [change, field] of bad) {
    const { status, body } = await daemon.request<{ detail: FieldError[] }>("POST", "/instances", {
      config: { ...good, ...change },
    });
    expect([change, status, body.detail.map?.(({ loc }) => loc.at(-1))]).toEqual([change, 422, [field]]);
  }
  // An instance that was stored with such a value may have another one changed.
  const { id } = await daemon.create(good);
  expect((await daemon.request("PATCH", `/instances/${id}`, { config: { threads: 0 } })).status).toBe(422);
  expect((await daemon.request("PATCH", `/instances/${id}`, { config: { temp: 0.5 } })).status).toBe(200);
});
