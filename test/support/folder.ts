import { afterEach } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made: string[] = [];

/** A new folder, gone after the test. The test file calls {@link removeFoldersAfterEach}. */
export const temporaryFolder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  made.push(dir);
  return dir;
};

/** To be called by each test file: a hook that a shared module sets counts for the first file only that loads it. */
export const removeFoldersAfterEach = (): void => {
  afterEach(() => {
    for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
  });
};
