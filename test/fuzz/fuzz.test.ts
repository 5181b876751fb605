import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { root } from "../support/paths.ts";

/**
 * schemathesis asks each route of a running daemon what its description allows, and what it does not. It finds an
 * answer that the description does not have: a status, a header, a body of another shape; a 5xx; a method that should
 * not be there; a route that a wrong key opens; an instance that is there after its deletion.
 */

setDefaultTimeout(240_000);

/** SOLAR_TEST_LONG=1 tries many more cases, and sequences of routes everywhere. */
const LONG = process.env.SOLAR_TEST_LONG !== undefined;
const SEED = process.env.SOLAR_TEST_SEED ?? "1";

const fuzzer = (): string => {
  const path = join(root, ".tools/schemathesis/bin/schemathesis");
  if (!existsSync(path)) throw new Error("no schemathesis in .tools: ./scripts/test installs it");
  return path;
};

/** Configs are taken that the description does not quite have: old ones without a backend, numbers as strings. */
const LENIENT = "negative_data_rejection,positive_data_acceptance";

interface Found {
  code: number;
  said: string;
  /** The statuses of all answers. */
  met: Set<number>;
}

interface Archive {
  log: { entries: { response: { status: number } }[] };
}

const fuzz = async (daemon: TestDaemon, options: string[]): Promise<Found> => {
  // What it leaves lies in the daemon's folder, which is there until its own test is over.
  const [cwd, home] = ["fuzzer", "home"].map((name) => join(daemon.dir, name)) as [string, string];
  for (const dir of [cwd, home]) mkdirSync(dir);
  const archive = join(cwd, "answers.har");
  const command = [fuzzer(), "run", `${daemon.url}/openapi.json`, "--header", `X-API-Key: ${KEY}`];
  const quiet = ["--no-color", "--suppress-health-check", "all", "--warnings", "off", "--output-sanitize", "false"];
  const report = ["--report", "har", "--report-har-path", archive];
  const child = Bun.spawn([...command, ...quiet, ...report, "--seed", SEED, ...options], {
    cwd,
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "", HOME: home, NO_PROXY: "127.0.0.1" },
  });
  const [said, complaints] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  // Where it could not even begin there is none.
  const { log } = (existsSync(archive) ? await Bun.file(archive).json() : { log: { entries: [] } }) as Archive;
  const met = new Set(log.entries.map(({ response }) => response.status));
  return { code: child.exitCode ?? -1, said: `${said}${complaints}`, met };
};

/** Nothing, and that it came to the answers of each kind: behind the key, to instances that are not there, and to bodies. */
const expectNothingFound = ({ code, said, met }: Found, daemon: TestDaemon): void => {
  // The fuzzer knows no 429, with which its many wrong keys are refused after the first ones.
  const failures = [...said.matchAll(/^- (\S.*)$/gm)].length;
  const limited = [...said.matchAll(/Expected 401 or 403, got `429 Too Many Requests`/g)].length;
  if (failures !== limited) console.log(said);
  expect([code, failures]).toEqual([limited === 0 ? 0 : 1, limited]);
  expect(Number(/(\d+) generated/.exec(said)?.[1])).toBeGreaterThan(50);
  expect([...met].sort()).toEqual(expect.arrayContaining([200, 401, 404, 422]));
  expect(daemon.stderr).not.toContain("unexpected error");
};

const start = (): Promise<TestDaemon> =>
  TestDaemon.start({ env: { PYTHON: "/no/such/python", STOP_TIMEOUT: "1", MAX_RETRIES: "1", START_WAIT: "2" } });

describe.concurrent("fuzzing from the description finds nothing", () => {
  test("on routes that only read and write", async () => {
    await using daemon = await start();
    const routes = ["--exclude-path-regex", "/(start|restart)$", "--exclude-checks", LENIENT];
    const extent = LONG ? ["--max-examples", "200"] : ["--max-examples", "8", "--phases", "examples,coverage,fuzzing"];
    const found = await fuzz(daemon, [...routes, ...extent]);
    expectNothingFound(found, daemon);
  });

  test("on those that start model servers, whose 500 with a reason is described", async () => {
    await using daemon = await start();
    await daemon.createFake();
    const routes = ["--include-path-regex", "/instances$|/(start|stop|restart)$"];
    const extent = LONG ? ["--max-examples", "50"] : ["--max-examples", "4", "--phases", "fuzzing,stateful"];
    const found = await fuzz(daemon, [...routes, ...extent, "--exclude-checks", `${LENIENT},not_a_server_error`]);
    expectNothingFound(found, daemon);
  });
});
