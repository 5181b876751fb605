import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Instance } from "../../src/contract/index.ts";
import { Ctl } from "../support/ctl.ts";
import { TestDaemon } from "../support/daemon.ts";

/** Two instances of one alias: every verb by that name would name neither. */

setDefaultTimeout(60_000);

let daemon: TestDaemon;
let ctl: Ctl;
beforeAll(async () => {
  daemon = await TestDaemon.start({ env: { MAX_RETRIES: "1" } });
  ctl = Ctl.of(daemon);
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

const aliases = async (): Promise<string[]> =>
  (await daemon.request<Instance[]>("GET", "/instances")).body.map(({ config }) => config.alias).sort();

describe("an alias that is used already", () => {
  test("is refused by create, from flags and from a file, with the id of its holder; --force takes it", async () => {
    const { id } = await daemon.createFake({}, { alias: "one" });
    const flags = ["create", "llamacpp", "--model", "/m", "--alias", "one"];
    for (const [args, stdin] of [
      [flags, undefined],
      [["create", "-f", "-"], '{"model": "/m", "alias": "one"}'],
    ] as const) {
      const { code, out, err } = await ctl.run(args, stdin === undefined ? {} : { stdin });
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain("the alias 'one' is used already");
      expect(err).toContain(id);
      expect(err).toContain("--force");
    }
    expect(await aliases()).toEqual(["one"]);
    const second = (await ctl.ok([...flags, "--force"])).trim();
    const { code, err } = await ctl.run(["get", "one"]);
    expect(code).toBe(2);
    for (const each of [id, second]) expect(err).toContain(each);
    expect(err).toContain("give the id");
    await ctl.ok(["rm", id, second]);
  });

  test("is refused by edit, before what runs is stopped; an edit that leaves the alias alone is none", async () => {
    const { id } = await daemon.createFake({}, { alias: "runs" });
    const other = await daemon.createFake({}, { alias: "other" });
    await daemon.start(id, 20);
    const { pid } = await daemon.whenStatus(id, "running");
    const refused = await ctl.run(["edit", "runs", "--set", "alias=other", "--restart"]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(other.id);
    expect((await daemon.get(id)).pid).toBe(pid);
    const both = ["edit", id, other.id, "--set", "alias=same", "--restart"];
    expect((await ctl.run(both)).code).toBe(2);
    expect(await aliases()).toEqual(["other", "runs"]);
    await ctl.ok(["edit", "other", "--set", "alias=runs", "--force"]);
    await ctl.ok(["edit", other.id, "--set", "temp=0.5"]);
    await ctl.ok(["rm", "--force", id, other.id]);
  });
});

test("a create whose start failed names the two ways out, edit and rm", async () => {
  const model = (await daemon.createFake({ exitCode: 3 }, { alias: "first" })).config as { model: string };
  const flags = ["--model", model.model, "--host", "127.0.0.1", "--start"];
  const { code, err } = await ctl.run(["create", "llamacpp", "--alias", "broken", ...flags]);
  expect(code).toBe(1);
  expect(err).toContain("ctl edit broken");
  expect(err).toContain("ctl rm broken");
  expect(await aliases()).toEqual(["broken", "first"]);
});
