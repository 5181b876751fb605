import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Instance } from "../src/contract/index.ts";
import { expectedAnswer } from "./support/expected.ts";
import { realServer, root } from "./support/paths.ts";
import { until } from "./support/until.ts";

/** scripts/quickstart, in a copy of the project: from nothing built to an answer, and again. */

const BUILD_LIMIT_MS = 120_000;
const expected = expectedAnswer("What is Solar Host?");

let copy = "";
let llamaServer = "";
/** Away from the ports of other tests' daemons. */
let startPort = 32_000 + (process.pid % 50) * 10;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "solar-host-quickstart-"));
  for (const part of ["scripts", "src", "pyserver", "package.json", "bun.lock", "tsconfig.json"]) {
    cpSync(join(root, part), join(copy, part), { recursive: true, preserveTimestamps: true });
  }
  const models = "test/fixtures/models";
  mkdirSync(join(copy, dirname(models)), { recursive: true });
  cpSync(join(root, models), join(copy, models), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  llamaServer = realServer();
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

const quickstart = (...args: string[]) => {
  startPort += 1;
  const child = Bun.spawn([join(copy, "scripts/quickstart"), ...args], {
    cwd: copy,
    env: {
      ...process.env,
      LLAMA_SERVER: llamaServer,
      START_PORT: String(startPort),
      API_KEY: "of-something-else",
      // With --hf: the tests' own environment, so that nothing is installed for it.
      PYTHON: join(root, ".venv/bin/python"),
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const run = { child, output: "" };
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) run.output += decoder.decode(chunk, { stream: true });
  };
  const read = Promise.all([collect(child.stdout), collect(child.stderr)]);
  const ended = async (): Promise<number> => {
    const code = await child.exited;
    await read;
    return code;
  };
  return Object.assign(run, { ended });
};

const stored = (): Instance[] => JSON.parse(readFileSync(join(copy, ".quickstart/config.json"), "utf8")).instances;
const storedModel = (): string => {
  const config = stored()[0]?.config;
  return config !== undefined && "model" in config ? config.model : "none";
};
const apiKey = (): string => /^API_KEY=(.+)$/m.exec(readFileSync(join(copy, ".quickstart/.env"), "utf8"))?.[1] ?? "";

/** Command lines of processes that run in or from the copy. */
const left = (): string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return line.includes(copy) ? [line] : [];
      } catch {
        return [];
      }
    });

test(
  "from nothing built to an answer, and everything stopped",
  async () => {
    const run = quickstart("--once", "--port", "0");
    const code = await run.ended();
    expect(run.output).toContain("building dist/solar-host");
    expect(run.output).toContain("created the instance solar-tiny");
    expect(run.output).toContain(expected.answer);
    expect(run.output).toMatch(/\d+ {2}.*slot +release: id +0/);
    expect(run.output).toContain(`${expected.prompt_tokens} tokens read, ${expected.completion_tokens} written, `);
    expect(run.output).toContain("everything is stopped");
    expect({ code, left: left() }).toEqual({ code: 0, left: [] });
  },
  BUILD_LIMIT_MS,
);

test("its keys are the owner's alone and are not shown", async () => {
  const run = quickstart("--once", "--port=0");
  await run.ended();
  expect(apiKey()).toMatch(/^[\w-]{32}$/);
  expect(run.output).not.toContain(apiKey());
  expect(run.output).not.toContain(stored()[0]?.config.api_key ?? "no instance");
  for (const file of [".env", "instance-key", "config.json"]) {
    expect(statSync(join(copy, ".quickstart", file)).mode & 0o077).toBe(0);
  }
});

test("run again, it does nothing twice", async () => {
  const before = { key: apiKey(), built: statSync(join(copy, "dist/solar-host")).mtimeMs, id: stored()[0]?.id };
  const run = quickstart("--once", "--port", "0");
  expect(await run.ended()).toBe(0);
  expect(run.output).not.toContain("building");
  expect(run.output).not.toContain("installing");
  expect(run.output).not.toContain("created");
  expect(run.output).toContain("the instance solar-tiny is there already");
  expect(run.output).toContain(expected.answer);
  expect(stored()).toHaveLength(1);
  const after = { key: apiKey(), built: statSync(join(copy, "dist/solar-host")).mtimeMs, id: stored()[0]?.id };
  expect(after).toEqual(before);
});

test("without --once it stays, what it says to type next works, and Ctrl-C ends everything", async () => {
  const run = quickstart("--port", "0");
  await until("the next commands", () => run.output.includes("Ctrl-C ends the daemon"));
  const commands = run.output
    .split("\n")
    .filter((line) => /^ {2,4}\S/.test(line) && /^ +(key|instance_key|curl|-d)/.test(line));
  expect(commands.filter((line) => line.includes("curl"))).toHaveLength(6);
  const script = commands.join("\n").replaceAll("curl ", "curl --fail --silent --show-error ");
  const typed = Bun.spawnSync(["bash", "-euo", "pipefail", "-c", script], { cwd: copy });
  expect({ code: typed.exitCode, stderr: typed.stderr.toString() }).toEqual({ code: 0, stderr: "" });
  expect(typed.stdout.toString()).toContain(expectedAnswer("Tell me a joke.").answer);

  const second = quickstart("--port", "0");
  expect(await second.ended()).toBe(1);
  expect(second.output).toMatch(/a quickstart runs already: .* kill \d+/);

  run.child.kill("SIGINT");
  expect(await run.ended()).toBe(0);
  expect(left()).toEqual([]);
});

test("Ctrl-C while the model starts ends everything too", async () => {
  const run = quickstart("--port", "0");
  await until("the instance", () => run.output.includes("is there already"));
  run.child.kill("SIGINT");
  expect(await run.ended()).toBe(0);
  expect(run.output).not.toContain("error:");
  expect(left()).toEqual([]);
});

test("an instance whose model has moved is put right", async () => {
  const path = join(copy, ".quickstart/config.json");
  const model = storedModel();
  await Bun.write(path, readFileSync(path, "utf8").replace(model, "/elsewhere/solar-tiny.gguf"));
  const run = quickstart("--once", "--port", "0");
  expect({ code: await run.ended(), output: run.output }).toMatchObject({ code: 0 });
  expect(stored()).toHaveLength(1);
  expect(storedModel()).toBe(model);
});

test("a port that is taken is named, with another one to try", async () => {
  using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("other") });
  const run = quickstart("--once", "--port", String(other.port));
  expect(await run.ended()).toBe(1);
  expect(run.output).toContain(`another program listens on port ${other.port}`);
  expect(run.output).toContain(`./scripts/quickstart --port ${Number(other.port) + 1}`);
  expect(left()).toEqual([]);
});

test("a llama-server that is not there is named, with what to do", async () => {
  llamaServer = "/nowhere/llama-server";
  try {
    const run = quickstart("--once", "--port", "0");
    expect(await run.ended()).toBe(1);
    expect(run.output).toContain("/nowhere/llama-server");
    expect(run.output).toContain("put one on PATH or name it by LLAMA_SERVER");
  } finally {
    llamaServer = realServer();
  }
});

test.each([
  [["--help"], 0, "Usage: ./scripts/quickstart"],
  [["--never"], 2, "unknown argument '--never'"],
  [["--port"], 2, "--port needs a number"],
  [["--port", "99999"], 2, "should be a number from 0 to 65535"],
] as const)("%p ends with %d", async (args, code, words) => {
  const run = quickstart(...args);
  expect(await run.ended()).toBe(code);
  expect(run.output).toContain(words);
});

test(
  "with --hf, both HuggingFace backends answer: the same words as llama-server's, and two moods told apart",
  async () => {
    const run = quickstart("--hf", "--once", "--port", "0");
    const code = await run.ended();
    expect(run.output).toContain(expected.answer);
    expect(run.output).toMatch(/positive \(0\.\d+\) {2}What a beautiful day/);
    expect(run.output).toMatch(/negative \(0\.\d+\) {2}I hate waiting/);
    expect({ code, left: left() }).toEqual({ code: 0, left: [] });
  },
  BUILD_LIMIT_MS,
);
