import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { CtlProcess } from "../support/ctl-process.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";

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

test("an interrupt while it stops says that nothing was changed, and how to start it", async () => {
  const { id } = await daemon.createFake({ ignoreSigterm: true }, { alias: "held" });
  await daemon.start(id, 20);
  await daemon.whenStatus(id, "running");
  await using edit = CtlProcess.start(["edit", id, "--set", "temp=0.5", "--restart"], { cwd: ctl.home });
  await daemon.whenStatus(id, "stopping");
  expect(await edit.interrupt()).toBe(130);
  expect(edit.stderr).toContain("held is being stopped and was not changed: solar-host ctl start held");
  // A second stop does not wait.
  await daemon.stop(id);
  expect(await config(id)).toMatchObject({ temp: 1 });
});

test("one whose change is refused after it was stopped is started again as it was", async () => {
  const { id } = await daemon.createFake({}, { alias: "refused" });
  await daemon.start(id, 20);
  const { pid } = await daemon.whenStatus(id, "running");
  await using between = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      if (request.method === "PUT") return Response.json({ detail: "the disk is full" }, { status: 500 });
      return await fetch(`${daemon.url}${pathname}${search}`, { method: request.method, headers: request.headers });
    },
  });
  const target = ["--url", `http://127.0.0.1:${between.port}`, "--key", KEY];
  const { code, err } = await ctl.run(["edit", id, "--set", "temp=0.5", "--restart", ...target]);
  expect(code).toBe(1);
  expect(err).toContain("the disk is full");
  expect(err).toContain("refused is started again as it was");
  const again = await daemon.whenStatus(id, "running");
  expect(again.pid).not.toBe(pid);
  expect(again.config).toMatchObject({ temp: 1 });
  await daemon.stop(id);
});
