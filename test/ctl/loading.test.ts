import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { verbIn, verbs } from "../../src/ctl/verbs.ts";
import { root } from "../support/paths.ts";

/** `ctl ls` is over in a few milliseconds because of what it does not load. */

const STATIC = /^\s*(?:import|export)\b(?!\s+type\b)(?:[^"';]*?\bfrom)?\s*["']([^"']+)["']/gm;

/** Everything that a file loads at once, packages too. */
const loadedBy = (file: string, seen = new Set<string>()): Set<string> => {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, to = ""] of readFileSync(file, "utf8").matchAll(STATIC)) {
    if (to.startsWith(".")) loadedBy(join(dirname(file), to), seen);
    else seen.add(to);
  }
  return seen;
};

const under = (path: string): string => join(root, "src", path);

test("the command line loads no command, and ctl no verb, before one is asked for", () => {
  expect([...loadedBy(under("main.ts"))].filter((file) => file.includes("/src/ctl/"))).toEqual([]);
  const ctl = [...loadedBy(under("ctl/index.ts"))];
  expect(ctl).toContain(under("ctl/verbs.ts"));
  expect(ctl.filter((file) => file.includes("/commands/"))).toEqual([]);
});

test.each(["ls", "stop", "start", "wait", "rm", "logs", "context"])(
  "%s builds no schema of a config and loads neither YAML nor a library for colours",
  (verb) => {
    const loaded = loadedBy(under(`ctl/commands/${verb}.ts`));
    expect(loaded).toContain(under("contract/instance-facts.ts"));
    for (const heavy of [under("contract/fields.ts"), under("contract/index.ts"), "yaml", "chalk", "commander"]) {
      expect(loaded).not.toContain(heavy);
    }
  },
);

test.each([
  [["ls"], "ls"],
  [["ps", "--json"], "ls"],
  [["--context", "logs", "stop", "x"], "stop"],
  [["--key", "-", "--json", "top"], "top"],
  [["help", "edit"], "edit"],
  [["nope"], undefined],
  [[], undefined],
])("behind ctl, %j asks for %p", (words, name) => {
  expect(verbIn(words)?.name).toBe(name as string);
});

test("a verb's file is named as the verb", async () => {
  for (const { name, load } of verbs) {
    expect(String(load)).toContain(`commands/${name}.ts`);
    expect(typeof (await load()).define).toBe("function");
  }
});
