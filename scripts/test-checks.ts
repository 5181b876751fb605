import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./test-process.ts";
import type { Report } from "./test-report.ts";
import {
  installPackages,
  makeBinary,
  makeFuzzer,
  makeLlamaServer,
  makeNewestPython,
  makePython,
  newestPython,
  pythonIn,
  requirements,
} from "./test-setup.ts";

/** What there is to check, and how each check is run. */

export const root = join(import.meta.dir, "..");

export type Outcome = Report;

export interface Check {
  name: string;
  title: string;
  /** @param report where a JUnit report may be written, and how to read it */
  run(report: string, read: (path: string) => Report): Promise<Outcome>;
}

/** After this a check hangs, and is ended. */
const LIMIT_MS = process.env.SOLAR_TEST_LONG === undefined ? 20 * 60_000 : 4 * 60 * 60_000;
/** Tests wait for conditions of real processes; after this one is called broken. */
const TEST_LIMIT_MS = 60_000;

export const say = (text: string): void => console.log(`==> ${text}`);

/** Commands that are passed together or failed together. */
const whole =
  (setUp: () => Promise<void>, ...commands: { command: string[]; cwd?: string }[]) =>
  async (): Promise<Outcome> => {
    await setUp();
    const failures: string[] = [];
    for (const { command, cwd } of commands) {
      const code = await run(command, cwd ?? root, LIMIT_MS);
      if (code !== 0) failures.push(`${command.join(" ")} (exit code ${code})`);
    }
    const failed = failures.length === 0 ? 0 : 1;
    return { passed: 1 - failed, failed, skipped: 0, failures };
  };

/** Tests that are counted one by one. A runner that fails otherwise (a file that does not load) counts as one more. */
const counted = (setUp: () => Promise<void>, command: (report: string) => string[]): Check["run"] => {
  return async (report, read) => {
    await setUp();
    const code = await run(command(report), root, LIMIT_MS);
    const outcome: Outcome = existsSync(report) ? read(report) : { passed: 0, failed: 0, skipped: 0, failures: [] };
    if (code !== 0 && outcome.failed === 0) {
      return { ...outcome, failed: 1, failures: [`exit code ${code}: see its output above`] };
    }
    return outcome;
  };
};

const nothing = async (): Promise<void> => undefined;

const inOrder =
  (...steps: (() => Promise<void>)[]) =>
  async (): Promise<void> => {
    for (const step of steps) await step();
  };

const filesUnder = (folder: string, pattern: RegExp): string[] =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => pattern.test(name) && !name.includes("node_modules"))
        .map((name) => join(folder, name))
        .sort()
    : [];

/** Test files that take longer with SOLAR_TEST_LONG. */
export const longTests = (): string[] =>
  filesUnder("test", /\.test\.ts$/).filter((path) =>
    readFileSync(join(root, path), "utf8").includes("process.env.SOLAR_TEST_LONG"),
  );

const bashScripts = (): string[] =>
  [...new Bun.Glob("scripts/*").scanSync({ cwd: root }), ".ci/run"]
    .filter((path) => path.endsWith(".sh") || !/\.\w+$/.test(path))
    .sort();

/** Where Python sources are, and whose rules hold there. */
const pythonPlaces = (): { folder: string; config: string }[] =>
  [
    { folder: "pyserver", config: "pyserver/pyproject.toml" },
    { folder: "test/pyserver", config: "pyserver/pyproject.toml" },
    { folder: "scripts/bench-pyserver", config: "pyserver/pyproject.toml" },
    { folder: "scripts/models", config: "scripts/models/pyproject.toml" },
  ].filter(({ folder }) => filesUnder(folder, /\.py$/).length > 0);

/** Tests that no release of transformers has a part in. */
const PURE = /test_(decisions|detokenizer|packing|readme|sampling|stop_matcher|threads)\.py$/;

const bun = process.execPath;

/** @param newest the files to run with the newest transformers too */
const pythonChecks = (pytests: string[], newest: string[]): Check[] => {
  if (!existsSync(requirements)) return [];
  const ruff = pythonPlaces().flatMap(({ folder, config }) => [
    { command: [pythonIn("ruff"), "check", "--config", config, folder] },
    { command: [pythonIn("ruff"), "format", "--check", "--config", config, folder] },
  ]);
  const typed = ["pyserver", "scripts/models"].filter((folder) => existsSync(join(root, folder, "pyproject.toml")));
  const mypy = typed.map((folder) => ({ command: [pythonIn("mypy")], cwd: join(root, folder) }));
  const pytest =
    (python: string, files: string[]) =>
    (report: string): string[] => [
      ...[python, "-m", "pytest", "-c", "pyserver/pyproject.toml", "--rootdir", "."],
      ...[`--junitxml=${report}`, ...files],
    ];
  const tests: Check[] = [
    {
      name: "pytest",
      title: "pytest: tests of the Python server",
      run: counted(makePython, pytest(pythonIn("python"), pytests)),
    },
    {
      name: "pytest-newest",
      title: "pytest: the same with the newest transformers",
      run: counted(makeNewestPython, pytest(newestPython, newest)),
    },
  ];
  return [
    { name: "ruff", title: "ruff: style of the Python sources", run: whole(makePython, ...ruff) },
    { name: "mypy", title: "mypy: types of the Python sources", run: whole(makePython, ...mypy) },
    ...tests.filter(({ name }) => (name === "pytest" ? pytests : newest).length > 0),
  ];
};

/** @param patterns names of checks, or parts of the paths of test files; none is all */
export const findChecks = (patterns: string[]): Check[] => {
  const wanted = (path: string): boolean => patterns.length === 0 || patterns.some((part) => path.includes(part));
  const named = (name: string): boolean => patterns.length === 0 || patterns.includes(name);
  const bunTests = filesUnder("test", /\.test\.ts$/).filter((path) => named("bun") || wanted(path));
  const pythonTests = filesUnder("test/pyserver", /(^|\/)test_\w+\.py$/);
  const pytests = pythonTests.filter((path) => named("pytest") || wanted(path));
  const newest = named("pytest-newest") ? pythonTests.filter((path) => !PURE.test(path)) : [];
  const bunTest = (report: string): string[] => [
    ...[bun, "test", `--timeout=${TEST_LIMIT_MS}`, "--reporter=junit", `--reporter-outfile=${report}`],
    ...bunTests.map((path) => `./${path}`),
  ];
  const tests: Check = {
    name: "bun",
    title: `bun: ${bunTests.length} files of tests`,
    run: counted(inOrder(installPackages, makeLlamaServer, makeFuzzer, makeBinary), bunTest),
  };
  const checks: Check[] = [
    { name: "types", title: "types: tsc", run: whole(nothing, { command: [bun, "run", "--silent", "check"] }) },
    { name: "lint", title: "lint: biome", run: whole(nothing, { command: [bun, "run", "--silent", "lint"] }) },
    {
      name: "shell",
      title: "shell: shellcheck",
      run: whole(installPackages, { command: ["shellcheck", "--external-sources", ...bashScripts()] }),
    },
  ];
  return [
    ...checks.filter(({ name }) => named(name)),
    ...pythonChecks(pytests, newest).filter(({ name }) => name.startsWith("pytest") || named(name)),
    ...(bunTests.length === 0 ? [] : [tests]),
  ];
};
