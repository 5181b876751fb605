import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ctl, Terminal } from "../support/ctl.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** Naming hosts: their keys are asked for, tried and kept, and no client undoes another's. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const laptop = (): Ctl => new Ctl(temporaryFolder());
const kept = async (ctl: Ctl): Promise<{ current: string | null; contexts: Record<string, { key: string }> }> =>
  await Bun.file(join(ctl.home, "xdg-config/solar-host/contexts.json")).json();

describe("--key - on a terminal", () => {
  test("asks, shows nothing of the key and ends with Enter, for context add and for every verb", async () => {
    const ctl = laptop();
    for (const verb of [`context add gpu1 ${daemon.url} --key -`, `ls --url ${daemon.url} --key -`]) {
      using terminal = await Terminal.open(`solar-host ctl ${verb}`, ctl.environment());
      await terminal.shows("Key of");
      terminal.type(KEY, "Enter");
      expect(await terminal.shows("ended with 0")).not.toContain(KEY);
    }
    expect((await kept(ctl)).contexts.gpu1?.key).toBe(KEY);
  });

  test("and anything else that reads stdin says so, and how it ends", async () => {
    using terminal = await Terminal.open("solar-host ctl create -f -", Ctl.of(daemon).environment());
    await terminal.shows("-f - reads what you type; end it with Ctrl-D");
    terminal.type("alias: [", "Enter", "C-d");
    await terminal.shows("ended with 2");
  });
});

describe("the key of a host", () => {
  test("is tried: a wrong one and a missing one are said and not kept, unless --force is given", async () => {
    const ctl = laptop();
    const refused = await ctl.run(["context", "add", "gpu1", daemon.url, "--key", "wrong"]);
    expect(refused.err).toContain("refused the key; gpu1 is not added");
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", KEY]);
    for (const key of ["wrong", ""]) {
      const { code, err } = await ctl.run(["context", "add", "gpu1", daemon.url, "--key", key]);
      expect(code).toBe(6);
      expect(err).toContain("gpu1 is left as it was");
      expect((await kept(ctl)).contexts.gpu1?.key).toBe(KEY);
    }
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", "wrong", "--force"]);
    expect((await kept(ctl)).contexts.gpu1?.key).toBe("wrong");
  });

  test("stays when the host is added again without one, also where the environment has another", async () => {
    const ctl = laptop();
    await ctl.ok(["context", "add", "gpu1", daemon.url, "--key", KEY]);
    await ctl.ok(["context", "add", "gpu1", daemon.url.replace("127.0.0.1", "localhost"), "--use"], {
      env: { SOLAR_HOST_API_KEY: "of-another" },
    });
    expect(await kept(ctl)).toMatchObject({ current: "gpu1", contexts: { gpu1: { key: KEY } } });
    using terminal = await Terminal.open(`solar-host ctl context add gpu1 ${daemon.url}`, ctl.environment());
    await terminal.shows("empty keeps the one it has");
    terminal.type("Enter");
    await terminal.shows("ended with 0");
    expect((await kept(ctl)).contexts.gpu1?.key).toBe(KEY);
  });

  test("is kept untried, which is said, where nothing answers", async () => {
    const { code, err } = await laptop().run(["context", "add", "gpu1", "http://127.0.0.1:9", "--key", "k"]);
    expect(code).toBe(0);
    expect(err).toContain("could not be tried");
  });
});

test("context ls --json has the daemons on this machine, as the table has", async () => {
  const ctl = Ctl.of(daemon);
  const local = { name: daemon.dir, url: daemon.url, current: true, has_key: true, local: true };
  expect(await ctl.json<unknown>(["context", "ls"])).toEqual([local]);
  expect(await ctl.ok(["context", "ls"])).toContain(daemon.dir);
});

test("twelve changes of the named hosts at once are all kept, and what a killed client held is given back", async () => {
  const ctl = laptop();
  const names = Array.from({ length: 12 }, (_, at) => `gpu${at}`);
  const add = (name: string) => ctl.run(["context", "add", name, "http://127.0.0.1:9", "--key", "k"]);
  expect((await Promise.all(names.map(add))).map(({ code }) => code)).toEqual(names.map(() => 0));
  expect(Object.keys((await kept(ctl)).contexts).sort()).toEqual([...names].sort());
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  writeFileSync(join(ctl.home, "xdg-config/solar-host/contexts.json.lock"), String(gone.pid));
  const rm = (name: string) => ctl.run(["context", "rm", name]);
  expect((await Promise.all(names.map(rm))).map(({ code }) => code)).toEqual(names.map(() => 0));
  expect((await kept(ctl)).contexts).toEqual({});
});
