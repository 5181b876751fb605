import { createInterface } from "node:readline";
import { CtlError, exitCodes } from "./errors.ts";
import { harmless } from "./harmless.ts";
import type { Io } from "./io.ts";

/** Questions to a person; asked on stderr, since stdout is for data. Callers ask on a terminal only. */

/** The line that is typed; null where there is no more input. */
const readLine = (): Promise<string | null> =>
  new Promise((resolve) => {
    const lines = createInterface({ input: process.stdin, terminal: false });
    lines.once("line", (line) => {
      resolve(line);
      lines.close();
    });
    lines.once("close", () => resolve(null));
  });

/** Anything but yes is no. */
export const confirm = async (io: Io, question: string): Promise<boolean> => {
  io.writeError(`${harmless(question, false)} [y/N] `);
  const answer = await readLine();
  if (answer === null) io.say("");
  return /^y(?:es)?$/i.test(answer?.trim() ?? "");
};

const INTERRUPT = "\u0003";
const END = "\u0004";

/** A line that is not shown while it is typed. @throws CtlError where it is broken off */
export const askSecret = async (io: Io, question: string): Promise<string> => {
  const secret = await readSecret(io, question);
  if (secret === null) throw new CtlError(exitCodes.interrupted, "interrupted: nothing was done");
  return secret;
};

/** @returns null where it was broken off */
const readSecret = (io: Io, question: string): Promise<string | null> =>
  new Promise((resolve) => {
    io.writeError(question);
    let typed = "";
    const { stdin } = process;
    stdin.setRawMode(true);
    const end = (value: string | null): void => {
      stdin.off("data", take);
      stdin.setRawMode(false);
      stdin.pause();
      io.say("");
      resolve(value);
    };
    const take = (chunk: Buffer): void => {
      for (const character of chunk.toString("utf8")) {
        const broken = character === INTERRUPT || (character === END && typed === "");
        if (broken || character === "\r" || character === "\n") {
          end(broken ? null : typed);
          return;
        }
        if (character === "\u007f" || character === "\b") typed = typed.slice(0, -1);
        else if (character >= " ") typed += character;
      }
    };
    stdin.on("data", take);
    stdin.resume();
  });
