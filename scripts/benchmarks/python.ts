import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../test/support/paths.ts";

/** The HuggingFace server's own benchmark, in the tests' Python environment. */
export const benchPython = async (): Promise<void> => {
  const python = join(root, ".venv/bin/python");
  if (!existsSync(python)) throw new Error("no Python environment: run ./scripts/test once");
  const code = await Bun.spawn([python, join(root, "scripts/bench-pyserver")], { stdout: "inherit", stderr: "inherit" })
    .exited;
  if (code !== 0) throw new Error(`the benchmark of the HuggingFace server exited with ${code}`);
};
