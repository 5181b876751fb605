import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { CtlProcess } from "../support/ctl-process.ts";
import { TestDaemon } from "../support/daemon.ts";

/** What an edit does where somebody else, an interrupt or a refusal comes between. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;

beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { STOP_TIMEOUT: "60" } });
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const config = async (id: string): Promise<Instance["config"]> => (await daemon.get(id)).config;

/** An editor during whose work somebody else edits. */
const editor = (name: string, commands: string): string => {
  const path = join(ctl.home, name);
  writeFileSync(path, `#!/bin/sh\nset -e\n${commands}\n`);
  chmodSync(path, 0o755);
  return path;
};

test("what somebody else changed meanwhile stays, and only the user's own change is told", async () => {
  const { id } = await daemon.createFake({}, { alias: "shared" });
  const EDITOR = editor(
    "both.sh",
    `solar-host ctl edit ${id} --set top_k=7 2>/dev/null\nsed -i 's/^temp:.*/temp: 0.5/' "$1"`,
  );
  const { code, err } = await ctl.run(["edit", id], { env: { EDITOR } });
  expect({ code, err }).toEqual({ code: 0, err: "shared: temp: 1 -> 0.5\n" });
  expect(await config(id)).toMatchObject({ top_k: 7, temp: 0.5 });
});

test("a field that somebody else changed too is left as it is, and the text is kept", async () => {
  const { id } = await daemon.createFake({}, { alias: "contested" });
  const EDITOR = editor(
    "clash.sh",
    `solar-host ctl edit ${id} --set temp=0.3 2>/dev/null\nsed -i 's/^temp:.*/temp: 0.5/' "$1"`,
  );
  const { code, err } = await ctl.run(["edit", id], { env: { EDITOR } });
  expect(code).toBe(1);
  expect(err).toContain("changed by somebody else");
  expect(err).toContain("temp: 1 -> 0.3");
  expect(readFileSync(/your text is kept: (\S+)/.exec(err)?.[1] ?? "", "utf8")).toContain("temp: 0.5");
  expect(await config(id)).toMatchObject({ temp: 0.3 });
});

test("an interrupt while it stops says that the daemon goes on, which it does", async () => {
  const { id } = await daemon.createFake({ ignoreSigterm: true }, { alias: "held" });
  await daemon.start(id, 20);
  await daemon.whenStatus(id, "running");
  await using edit = CtlProcess.start(["edit", id, "--set", "temp=0.5", "--restart"], { cwd: ctl.home });
  await daemon.whenStatus(id, "stopping");
  expect(await edit.interrupt()).toBe(130);
  expect(edit.stderr).toContain("the daemon goes on: see what becomes of it by: solar-host ctl get held");
  expect(await config(id)).toMatchObject({ temp: 0.5 });
  // A second stop does not wait.
  await daemon.stop(id);
});

test("one that could not run with its new config goes on with the old one: a taken port, a file that is not there", async () => {
  const { id } = await daemon.createFake({}, { alias: "refused" });
  const { pid, port } = (await daemon.start(id)).body.instance;
  await using other = Bun.serve({ port: 0, fetch: () => new Response() });
  for (const [change, why] of [
    [`port=${other.port}`, `port ${other.port} is taken by another program`],
    ["model=/no/such/model.gguf", "no such file"],
    ["chat_template_file=/no/such/template", "no such file"],
  ] as const) {
    const { code, err } = await ctl.run(["edit", id, "--set", change, "--restart"]);
    expect([code, err]).toEqual([1, expect.stringContaining(why)]);
    expect(await daemon.get(id)).toMatchObject({ status: "running", pid, port, config: { port: null } });
  }
  await daemon.stop(id);
});
