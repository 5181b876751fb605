import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChecks, longTests, type Outcome, root, say } from "./test-checks.ts";
import { passOn } from "./test-process.ts";
import { parseJunit } from "./test-report.ts";

/** Runs the checks that were asked for, one after another, and sums up. Run by scripts/test. */

interface Done extends Outcome {
  name: string;
  seconds: number;
}

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

const line = ({ name, passed, failed, skipped, seconds }: Done): string => {
  const counts = [`${passed} passed`, `${failed} failed`, ...(skipped === 0 ? [] : [`${skipped} skipped`])];
  return `  ${failed === 0 ? "ok  " : "FAIL"}  ${name.padEnd(13)} ${counts.join(", ")} (${seconds.toFixed(1)} s)`;
};

/** `soak` is what is too long for every day: the tests with a long form, in that form. */
const chosen = (words: string[]): string[] => {
  if (words[0] !== "soak") return words;
  return words.length > 1 ? words.slice(1) : longTests();
};

const main = async (words: string[]): Promise<number> => {
  const patterns = chosen(words);
  const option = patterns.find((pattern) => pattern.startsWith("-"));
  if (option !== undefined) {
    console.error(`error: unknown option '${option}': see ./scripts/test --help`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), "solar-host-checks-"));
  const done: Done[] = [];
  try {
    const checks = findChecks(patterns);
    if (checks.length === 0) {
      console.error(`error: no check and no test file has '${patterns.join("' or '")}' in its name`);
      return 2;
    }
    for (const { name, title, run } of checks) {
      say(title);
      const began = performance.now();
      const outcome = await run(join(folder, `${name}.xml`), (path) => parseJunit(readFileSync(path, "utf8"))).catch(
        (error: Error): Outcome => ({ passed: 0, failed: 1, skipped: 0, failures: [error.message] }),
      );
      done.push({ ...outcome, name, seconds: (performance.now() - began) / 1000 });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const sum = (key: "passed" | "failed"): number => done.reduce((total, outcome) => total + outcome[key], 0);
  console.log("");
  for (const one of done) console.log(line(one));
  const failures = done.flatMap(({ name, failures }) => failures.map((failure) => `${name}: ${failure}`));
  if (failures.length > 0) console.log(`\n${plural(failures.length, "failure")}:`);
  for (const failure of failures) console.log(`  ${failure}`);
  console.log("");
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0 ? 0 : 1;
};

/** Exit codes as a shell has them for these signals. */
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

process.chdir(root);
for (const signal of Object.keys(signals) as (keyof typeof signals)[]) {
  process.on(signal, () => {
    passOn(signal);
    process.exit(signals[signal]);
  });
}
process.exit(await main(process.argv.slice(2)));
