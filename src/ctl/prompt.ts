import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CtlError, exitCodes } from "./errors.ts";
import { harmless } from "./foreign-text.ts";
import type { Io } from "./io.ts";

/** Questions to a person; asked on stderr, since stdout is for data. Callers ask on a terminal only. */

/** The line that is typed; null where it is broken off or there is no more input. */
const readLine = (io: Io, question: string, isSecret: boolean): Promise<string | null> =>
  new Promise((resolve) => {
    // Of a secret the terminal shows nothing: what is typed is shown to no one.
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    const lines = createInterface({ input: process.stdin, output: nowhere, terminal: isSecret });
    // Only now does the terminal show nothing: an answer that is quicker than this would be seen.
    io.writeError(question);
    let typed: string | null = null;
    lines.once("line", (line) => {
      typed = line;
      lines.close();
    });
    lines.once("SIGINT", () => lines.close());
    lines.once("close", () => {
      if (isSecret || typed === null) io.say("");
      resolve(typed);
    });
  });

/** Anything but yes is no. */
export const confirm = async (io: Io, question: string): Promise<boolean> =>
  /^y(?:es)?$/i.test((await readLine(io, `${harmless(question, false)} [y/N] `, false))?.trim() ?? "");

/** A line that is not shown while it is typed. @throws CtlError where it is broken off */
export const askSecret = async (io: Io, question: string): Promise<string> => {
  const secret = await readLine(io, question, true);
  if (secret === null) throw new CtlError(exitCodes.interrupted, "interrupted: nothing was done");
  return secret;
};
