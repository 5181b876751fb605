import { expect, test } from "bun:test";
import { parseConfig } from "../../src/contract/config.ts";
import {
  changesBetween,
  changeText,
  checked,
  clashesWith,
  KEPT_KEY,
  withoutKey,
  withValues,
} from "../../src/ctl/config-edit.ts";
import { parseConfigText, type RawConfig } from "../../src/ctl/config-input.ts";
import { configAsYaml } from "../../src/ctl/editor.ts";
import { CtlError } from "../../src/ctl/errors.ts";

const configOf = (raw: RawConfig): RawConfig => {
  const parsed = parseConfig(raw);
  if (!parsed.success) throw new Error("the test's own config is wrong");
  return { ...parsed.config };
};

const llama = configOf({ model: "/m.gguf", alias: "llama", api_key: "secret" });
const classifier = configOf({ model_id: "org/m", alias: "c", labels: ["a", "b"], api_key: "secret" });

const told = async (run: () => unknown): Promise<string> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof CtlError) return [error.message, ...error.hints].join("\n");
  }
  throw new Error("it did not fail");
};

test("values are set by name, read as the field's kind, and the field may be written as its flag", () => {
  const after = checked(withValues(llama, ["temp=0.5", "n-gpu-layers=12", "special=true", "alias=a=b"]), llama);
  expect(after).toEqual({ ...llama, temp: 0.5, n_gpu_layers: 12, special: true, alias: "a=b" });
});

test("a list takes commas and JSON", () => {
  expect(checked(withValues(classifier, ["labels=x, y"]), classifier).labels).toEqual(["x", "y"]);
  expect(checked(withValues(classifier, ['labels=["x,y"]']), classifier).labels).toEqual(["x,y"]);
});

test("nothing behind = gives a field its default, and null where it has none", () => {
  const before = { ...llama, temp: 0.3, chat_template_file: "/t.jinja" };
  expect(checked(withValues(before, ["temp=", "chat_template_file="]), before)).toEqual(llama);
});

test("a field that is not there and a value that is wrong are told by name", async () => {
  expect(await told(() => withValues(llama, ["tmp=1"]))).toContain("'tmp'");
  expect(await told(() => withValues(llama, ["temp"]))).toContain("'temp' is no name=value");
  const several = await told(() => checked(withValues(llama, ["temp=9", "threads=many"]), llama));
  expect(several).toContain("temp: ");
  expect(several).toContain("threads: ");
});

test("a slip of the pen in a text is refused, and a field of a newer daemon is left as it is", async () => {
  expect(await told(() => checked({ ...llama, tempp: 1 }, llama))).toContain("tempp: there is no such field");
  const newer = { ...llama, from_the_future: 7 };
  expect(checked({ ...newer, temp: 0.5 }, newer)).toEqual({ ...newer, temp: 0.5 });
});

test("the text for the editor holds every field but not the key, and read back it is the same config", async () => {
  for (const config of [llama, classifier]) {
    const text = await configAsYaml(withoutKey(config));
    expect(text).not.toContain("secret");
    expect(text).toContain(KEPT_KEY);
    expect(checked(await parseConfigText(text, "the text"), config)).toEqual(config);
  }
});

test("a key that is taken out stays, and another is taken", () => {
  const { api_key: _, ...without } = llama;
  expect(checked(without, llama).api_key).toBe("secret");
  expect(checked({ ...llama, api_key: "other" }, llama).api_key).toBe("other");
});

test("changes are told as field: old -> new, and a key without its value", () => {
  const after = { ...llama, temp: 0.5, chat_template_file: "/t.jinja", api_key: "new-secret" };
  expect(changesBetween(llama, after).map(changeText).sort()).toEqual([
    "api_key: changed",
    "chat_template_file: unset -> /t.jinja",
    "temp: 1 -> 0.5",
  ]);
  expect(changesBetween(llama, { ...llama })).toEqual([]);
});

test("a config text is JSON or YAML, bare or as {config}", async () => {
  const wanted = { alias: "a", temp: 1 };
  for (const text of ['{"alias":"a","temp":1}', '{"config":{"alias":"a","temp":1}}', "alias: a\ntemp: 1\n"]) {
    expect(await parseConfigText(text, "the text")).toEqual(wanted);
  }
  expect(await told(() => parseConfigText("- a\n- b\n", "list.yaml"))).toContain("list.yaml holds no config");
  expect(await told(() => parseConfigText("alias: [a\n", "broken.yaml"))).toMatch(/broken\.yaml: .*line/);
});

test("a field that somebody else changed meanwhile is a clash, unless both gave it the same value", () => {
  const after = { ...llama, temp: 0.5 };
  const changes = changesBetween(llama, after);
  expect(clashesWith(changes, { ...llama, alias: "other", added: true })).toEqual([]);
  expect(clashesWith(changes, { ...llama, temp: 0.3 })).toEqual([{ name: "temp", before: 1, after: 0.3 }]);
  expect(clashesWith(changes, after)).toEqual([]);
});
