import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestDaemon } from "../../test/support/daemon.ts";
import { root } from "../../test/support/paths.ts";

/** A program that runs the writer as if it were llama-server. */
export const writerProgram = (dir: string): string => {
  const path = join(dir, "writer");
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${join(root, "scripts/benchmarks/writer.ts")}' "$@"\n`);
  chmodSync(path, 0o755);
  return path;
};

/** Creates and starts an instance; gives its id and the address of its server. */
export const startInstance = async (
  daemon: TestDaemon,
  config: Record<string, unknown>,
): Promise<{ id: string; server: string }> => {
  const { id } = await daemon.create({ api_key: "instance-key", host: "127.0.0.1", ctx_size: 2048, ...config });
  const answer = await daemon.start(id, 60);
  if (answer.status !== 200) throw new Error(answer.body.detail ?? "not started");
  return { id, server: `http://127.0.0.1:${answer.body.instance.port}` };
};
