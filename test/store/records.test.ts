import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RecordFolder } from "../../src/store/records.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const ignore = (): void => undefined;

const isNumbered = (value: unknown): value is { n: number } =>
  typeof value === "object" && value !== null && "n" in value && typeof value.n === "number";
const isText = (value: unknown): value is string => typeof value === "string";

describe("records", () => {
  test("are found again under the id that they were written with, any characters in it", () => {
    const dir = join(temporaryFolder(), "deep/records");
    const records = new RecordFolder(dir, ".launch.json", true, isNumbered, ignore);
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
    const launches = new RecordFolder(dir, ".launch.json", false, isText, ignore);
    const logs = new RecordFolder(dir, ".log.json", false, isText, ignore);
    launches.write("a", "launch");
    logs.write("a", "log");
    expect([launches.read("a"), logs.read("a"), launches.ids(), logs.ids()]).toEqual(["launch", "log", ["a"], ["a"]]);
  });

  test("that are damaged or not there are none, and the damage is told", () => {
    const dir = temporaryFolder();
    const warnings: string[] = [];
    const records = new RecordFolder(dir, ".json", true, isNumbered, (message) => warnings.push(message));
    const texts = ['{"half":', "", "null", "[]", '{"n":"1"}', "7"];
    for (const [n, text] of texts.entries()) writeFileSync(join(dir, `${n}.json`), text);
    writeFileSync(join(dir, "%zz.json"), '{"n":1}');
    expect(records.ids().map((id) => records.read(id))).toEqual(texts.map(() => null));
    expect(warnings.map((message) => message.replace(dir, ""))).toEqual(
      records.ids().map((id) => `/${id}.json is damaged: what it recorded is lost`),
    );
    expect(records.read("never there")).toBeNull();
    expect(warnings).toHaveLength(texts.length);
    records.remove("never there");
  });

  test("that must not be lost are found in their copy where they were damaged", () => {
    const dir = temporaryFolder();
    const warnings: string[] = [];
    const records = new RecordFolder(dir, ".json", true, isNumbered, (message) => warnings.push(message));
    for (const n of [1, 2]) records.write("a", { n });
    for (const damage of ["", '{"n":', '{"n":"x"}']) {
      writeFileSync(join(dir, "a.json"), damage);
      expect(records.read("a")).toEqual({ n: 2 });
      expect(warnings.splice(0)).toEqual([`${join(dir, "a.json")} is damaged: its copy is used`]);
    }
    writeFileSync(join(dir, "a.json"), Buffer.from('{"n":9,"path":"/\xe9"}', "latin1"));
    expect(records.read("a")).toEqual({ n: 2 });
    expect(warnings.splice(0)).toHaveLength(1);
    expect(records.ids()).toEqual(["a"]);
    records.write("a", { n: 3 });
    expect(records.read("a")).toEqual({ n: 3 });
    unlinkSync(join(dir, "a.json"));
    expect(records.read("a")).toBeNull();
    records.remove("a");
    expect(readdirSync(dir)).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test("that cannot be removed are told in words", () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "a.json"));
    const records = new RecordFolder(dir, ".json", true, isNumbered, ignore);
    expect(() => records.remove("a")).toThrow(new Error(`'${dir}/a.json' is a folder and no file`));
  });

  test("that cannot be read now are not taken for none", () => {
    const dir = temporaryFolder();
    const records = new RecordFolder(dir, ".json", true, isNumbered, ignore);
    records.write("a", { n: 1 });
    renameSync(join(dir, "a.json"), join(dir, "away"));
    symlinkSync("a.json", join(dir, "a.json"));
    expect(() => records.read("a")).toThrow("is a link that leads in a circle");
    renameSync(join(dir, "away"), join(dir, "a.json"));
    expect(records.read("a")).toEqual({ n: 1 });
  });

  test("are for their owner alone, and so is their folder", () => {
    const dir = join(temporaryFolder(), "records");
    new RecordFolder(dir, ".json", true, isText, ignore).write("a", "1");
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "a.json")).mode & 0o777).toBe(0o600);
  });
});
