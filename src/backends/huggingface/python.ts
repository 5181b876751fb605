import type { LaunchContext } from "../backend.ts";

/** Which Python runs the HuggingFace server. */

/** Where `name/bin` stands on PATH; the later an environment was activated, the earlier it stands. */
const rankOnPath = (prefix: string, path: readonly string[]): number => {
  const at = path.findIndex((entry) => entry.replace(/\/+$/, "") === `${prefix}/bin`);
  return at === -1 ? Number.POSITIVE_INFINITY : at;
};

/**
 * The setting `PYTHON`, else the active environment's, else `python3` on PATH.
 *
 * Where a virtual environment and a conda one are both active, the inner one wins, which is what
 * `python` means in that shell: activation puts an environment's folder first on PATH. Where PATH
 * tells neither, it is the virtual environment: many shells activate conda's base unasked, and none
 * activates a virtual environment unasked.
 */
export const choosePython = (context: Pick<LaunchContext, "program" | "env">): string => {
  if (context.program !== "") return context.program;
  const path = (context.env.PATH ?? "").split(":");
  const [first] = [context.env.VIRTUAL_ENV, context.env.CONDA_PREFIX]
    .flatMap((value) => (value === undefined || value === "" ? [] : [value.replace(/\/+$/, "")]))
    .map((prefix) => ({ prefix, rank: rankOnPath(prefix, path) }))
    // Not a difference: two infinities have none. Sorting is stable, so that a tie keeps the order above.
    .sort((a, b) => (a.rank === b.rank ? 0 : a.rank < b.rank ? -1 : 1));
  return first === undefined ? "python3" : `${first.prefix}/bin/python`;
};
