import { expect, test } from "bun:test";
import type { ListedInstance } from "../../src/contract/instance-facts.ts";
import { CtlError, exitCodes } from "../../src/ctl/errors.ts";
import { asWord, chooseInstances, nameOf, resolveName } from "../../src/ctl/names.ts";

const instance = (id: string, alias: string): ListedInstance => ({
  id,
  config: { alias, backend_type: "llamacpp" },
  status: "stopped",
  port: null,
  pid: null,
  created_at: "2026-01-01T00:00:00Z",
  started_at: null,
  error_message: null,
  retry_count: 0,
  desired: "stopped",
  failure: null,
  restarts: 0,
  supported_endpoints: [],
  loading: null,
  log_file: null,
});

const llama = instance("aaaa1111-0000-4000-8000-000000000000", "llama");
const llama3 = instance("aaab2222-0000-4000-8000-000000000000", "llama-3:8b");
const mistral = instance("cccc3333-0000-4000-8000-000000000000", "mistral");
const all = [llama, llama3, mistral];

const failure = (run: () => unknown): CtlError => {
  try {
    run();
  } catch (error) {
    if (error instanceof CtlError) return error;
  }
  throw new Error("it did not fail");
};

test.each([
  ["llama-3:8b", "llama-3:8b"],
  ["with a blank", "'with a blank'"],
  ["it's", "'it'\\''s'"],
])("%s is written %s in a command to copy", (name, word) => {
  expect(asWord(name)).toBe(word);
});

test("an instance is called by its id where its alias names another, and by all of it where that begins another's", () => {
  const twin = instance("dddd4444-0000-4000-8000-000000000000", "llama");
  expect(nameOf(twin, [...all, twin])).toBe("dddd4444");
  expect(nameOf(twin, [...all, twin, instance("dddd4444-1111-4000-8000-000000000000", "x")])).toBe(twin.id);
  const nameless = instance("eeee5555-0000-4000-8000-000000000000", "");
  expect(nameOf(nameless, [...all, nameless])).toBe("eeee5555");
});

test("an id, an alias and a unique beginning of either name an instance", () => {
  expect(resolveName(mistral.id, all)).toBe(mistral);
  expect(resolveName("llama-3:8b", all)).toBe(llama3);
  expect(resolveName("mis", all)).toBe(mistral);
  expect(resolveName("aaab", all)).toBe(llama3);
});

test("a whole alias wins over a longer one that begins with it", () => {
  expect(resolveName("llama", all)).toBe(llama);
});

test("an id wins over an alias that is written like it", () => {
  const mocking = instance("dddd4444-0000-4000-8000-000000000000", llama.id);
  expect(resolveName(llama.id, [mocking, llama])).toBe(llama);
});

test("a beginning of several lists each of them with its id", () => {
  const { exitCode, hints } = failure(() => resolveName("aaa", all));
  expect(exitCode).toBe(exitCodes.usage);
  expect(hints.join("\n")).toContain(llama.id);
  expect(hints.join("\n")).toContain(llama3.id);
  expect(hints.join("\n")).not.toContain(mistral.id);
});

test("what names nothing is not found, the empty name too", () => {
  expect(failure(() => resolveName("nothing", all)).exitCode).toBe(exitCodes.notFound);
  expect(failure(() => resolveName("", all)).exitCode).toBe(exitCodes.notFound);
});

test("an instance that is named twice is taken once, and a wrong name does not spoil the others", () => {
  const { instances, errors } = chooseInstances(["mistral", "nothing", "cccc", "llama"], false, all);
  expect(instances).toEqual([mistral, llama]);
  expect(errors.map(({ exitCode }) => exitCode)).toEqual([exitCodes.notFound]);
});

test("no name without --all and names with it are wrong usage", () => {
  expect(failure(() => chooseInstances([], false, all)).exitCode).toBe(exitCodes.usage);
  expect(failure(() => chooseInstances(["llama"], true, all)).exitCode).toBe(exitCodes.usage);
  expect(chooseInstances([], true, all).instances).toEqual(all);
});

test("an instance is called by its alias, and by its id where another has the same", () => {
  const twin = instance("eeee5555-0000-4000-8000-000000000000", "llama");
  expect(nameOf(llama, all)).toBe("llama");
  expect(nameOf(twin, [...all, twin])).toBe("eeee5555");
});
