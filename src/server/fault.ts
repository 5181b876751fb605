import type { CrossOriginRules } from "./cross-origin.ts";

/** What is answered where even the answering of errors failed. Bun's own page would show the program's source. */

/** Names the fault and where it happened. Its message may hold the URL, and that a key which should not be there. */
const withoutMessage = (fault: unknown): Error => {
  const { name, stack = "" } = fault instanceof Error ? fault : new Error();
  const bare = new Error(`${name} while a request was answered`);
  bare.stack = stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .join("\n");
  return bare;
};

export const answerFault = (
  fault: unknown,
  pages: Pick<CrossOriginRules, "readable">,
  report: (error: Error) => void,
): Response => {
  report(withoutMessage(fault));
  return pages.readable(null, Response.json({ detail: "Internal Server Error" }, { status: 500 }));
};
