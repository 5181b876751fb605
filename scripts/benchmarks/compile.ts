import { join } from "node:path";
import { root } from "../../test/support/paths.ts";

/** Compiles a program of this folder as the binary is, so that only what it does is compared. */
export const compile = async (name: string, outfile: string): Promise<string> => {
  const built = await Bun.build({
    entrypoints: [join(root, "scripts/benchmarks", name)],
    target: "bun",
    bytecode: true,
    format: "esm",
    compile: { outfile },
  });
  if (!built.success) throw new AggregateError(built.logs);
  return outfile;
};
