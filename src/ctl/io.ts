import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { styleText } from "node:util";
import { meaningOf } from "../common/system-error.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { harmless, withoutErrno } from "./foreign-text.ts";
import { Output } from "./output.ts";

/** The one place that prints: data on stdout, messages on stderr, colours only where they belong. */

export type Paint = (text: string) => string;

const colors = ["bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan"] as const;
export type Color = (typeof colors)[number];
export type Palette = Readonly<Record<Color, Paint>>;

const plain: Paint = (text) => text;

export const createPalette = (enabled: boolean): Palette => {
  const paint = (color: Color): Paint =>
    enabled ? (text) => styleText(color, text, { validateStream: false }) : plain;
  return Object.fromEntries(colors.map((color) => [color, paint(color)])) as Record<Color, Paint>;
};

/** Colours belong on a terminal, and nowhere where `NO_COLOR` is set. */
export const wantsColor = (terminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean =>
  terminal && !env.NO_COLOR && env.TERM !== "dumb";

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  readonly stdin: { readonly terminal: boolean };
  readonly stdout: {
    readonly terminal: boolean;
    readonly palette: Palette;
    /** Columns; without bound where it is no terminal. */
    readonly width: () => number;
    /** Characters that are written but not taken yet. */
    readonly waiting: () => number;
    /** Resolves when what is waiting was taken. */
    readonly drained: () => Promise<void>;
  };
  readonly stderr: { readonly terminal: boolean; readonly palette: Palette; readonly width: () => number };
  /** Data. The line end is the caller's. */
  readonly write: (text: string) => void;
  /** A message for people, a line. */
  readonly say: (text: string) => void;
  /** Text on stderr as it is. */
  readonly writeError: (text: string) => void;
}

const side = (fd: 1 | 2, env: Io["env"]) => {
  const terminal = isatty(fd);
  const stream = (): NodeJS.WriteStream => (fd === 1 ? process.stdout : process.stderr);
  return {
    terminal,
    palette: createPalette(wantsColor(terminal, env)),
    width: () => (terminal ? stream().columns || 80 : Number.POSITIVE_INFINITY),
  };
};

const unlessClosed = (write: () => void): void => {
  try {
    write();
  } catch {
    // Nobody is left to be told.
  }
};

/**
 * The io of this process. Streams are made when they are first written to: making one takes a tenth of what `ls`
 * takes. A reader that went away (`| head`) is no error and ends the process.
 */
export const processIo = (home: string): Io => {
  const { env } = process;
  const out = new Output(1, (code) => {
    if (code === "EPIPE") process.exit(exitCodes.ok);
    unlessClosed(() => writeSync(2, `error: cannot write: ${meaningOf(code, "stdout") ?? code}\n`));
    process.exit(exitCodes.failure);
  });
  let err: NodeJS.WriteStream | null = null;
  const stderr = (): NodeJS.WriteStream => {
    if (err === null) {
      err = process.stderr;
      err.on("error", () => undefined);
    }
    return err;
  };
  const errorSide = side(2, env);
  return {
    env,
    cwd: process.cwd(),
    home,
    stdin: { terminal: isatty(0) },
    stdout: {
      ...side(1, env),
      waiting: () => out.waiting,
      drained: () => out.drained(),
    },
    stderr: errorSide,
    write: (text) => out.write(text),
    say: (text) => void stderr().write(`${errorSide.terminal ? harmless(text, true) : text}\n`),
    writeError: (text) => void stderr().write(text),
  };
};

export const writeJson = (io: Io, value: unknown): void => io.write(`${JSON.stringify(value, null, 2)}\n`);

/** What went wrong, without the system's own words for it. */
const messageOf = (error: unknown): string => withoutErrno(error instanceof Error ? error.message : String(error));

/** With the lines below, where the sentence announces them. */
const wholeMessage = (error: unknown): string => {
  const announces = error instanceof CtlError && error.message.endsWith(":");
  return announces ? `${messageOf(error)} ${error.hints.join("; ")}` : messageOf(error);
};

/** A failure for programs; its code is the name of the exit code. */
export const jsonError = (error: unknown): { error: { message: string; code: string } } => {
  const message = wholeMessage(error);
  const exitCode = error instanceof CtlError ? error.exitCode : exitCodes.failure;
  const [code = "failure"] = Object.entries(exitCodes).find(([, number]) => number === exitCode) ?? [];
  return { error: { message, code } };
};

/** On a line, so that it may end a stream of lines too. */
export const writeJsonError = (io: Io, error: unknown): void => io.write(`${JSON.stringify(jsonError(error))}\n`);

/** Tells what went wrong and what to do next; gives the exit code. */
export const reportError = (io: Io, error: unknown): number => {
  const { red, dim } = io.stderr.palette;
  // Much of it comes from elsewhere: from a model server, a daemon, a file.
  const clean: Paint = io.stderr.terminal ? (text) => harmless(text, false) : plain;
  io.say(`${red("error:")} ${clean(messageOf(error))}`);
  if (!(error instanceof CtlError)) return exitCodes.failure;
  for (const hint of error.hints) io.say(dim(`  ${clean(hint)}`));
  return error.exitCode;
};
