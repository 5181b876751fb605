import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where the parts are that tests run. */

export const root = join(import.meta.dir, "../..");
/** Another one is given to see a test fail whose mechanism was taken out. */
export const binary = process.env.SOLAR_HOST_BINARY ?? join(root, "dist/solar-host");
export const tinyModel = join(root, "test/fixtures/models/solar-tiny.gguf");
export const fakeServer = join(root, "test/fixtures/fake-llama-server");

/** The real llama-server. Made ready by scripts/test; tests fail, and are not skipped, where there is none. */
export const realServer = (): string => {
  const found = Bun.spawnSync([join(root, "scripts/llama-server-path"), "--no-fetch"], { stderr: "inherit" });
  if (found.exitCode !== 0) throw new Error("no llama-server: run ./scripts/test, or ./scripts/llama-server-path once");
  return found.stdout.toString().trim();
};

export const requireBinary = (): string => {
  if (!existsSync(binary)) throw new Error("dist/solar-host is not there: run ./scripts/build");
  return binary;
};
