import { describe, expect, test } from "bun:test";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RecordFolder } from "../../src/store/records.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const isNumbered = (value: unknown): value is { n: number } =>
  typeof value === "object" && value !== null && "n" in value && typeof value.n === "number";
const isText = (value: unknown): value is string => typeof value === "string";

describe("records", () => {
  test("are found again under the id that they were written with, whatever it holds", () => {
    const dir = join(temporaryFolder(), "deep/records");
    const records = new RecordFolder(dir, ".launch.json", true, isNumbered);
    const ids = ["2f0d5c53-6a0e-4f6c-9b52-4f6f1f1f0a01", "with blank", "../../up", "100%", "ä"];
    for (const [n, id] of ids.entries()) records.write(id, { n });
    expect(records.ids().sort()).toEqual([...ids].sort());
    expect(records.ids().map((id) => records.read(id)?.n)).not.toContain(undefined);
    expect(readdirSync(join(dir, "..")).length).toBe(1);
    for (const id of ids) records.remove(id);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("of several kinds share a folder without meeting", () => {
    const dir = temporaryFolder();
    const launches = new RecordFolder(dir, ".launch.json", false, isText);
    const logs = new RecordFolder(dir, ".log.json", false, isText);
    launches.write("a", "launch");
    logs.write("a", "log");
    expect([launches.read("a"), logs.read("a"), launches.ids(), logs.ids()]).toEqual(["launch", "log", ["a"], ["a"]]);
  });

  test("that are damaged or not there are none", () => {
    const dir = temporaryFolder();
    const records = new RecordFolder(dir, ".json", true, isNumbered);
    const texts = ['{"half":', "", "null", "[]", '{"n":"1"}', "7"];
    for (const [n, text] of texts.entries()) writeFileSync(join(dir, `${n}.json`), text);
    writeFileSync(join(dir, "%zz.json"), '{"n":1}');
    expect(records.ids().map((id) => records.read(id))).toEqual(texts.map(() => null));
    expect(records.read("never there")).toBeNull();
    records.remove("never there");
  });

  test("are for their owner alone, and so is their folder", () => {
    const dir = join(temporaryFolder(), "records");
    new RecordFolder(dir, ".json", true, isText).write("a", "1");
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "a.json")).mode & 0o777).toBe(0o600);
  });
});
