import { createPalette, type Io } from "../../src/ctl/io.ts";

/** What a command prints, kept; no terminal unless told. */

export interface FakeIo extends Io {
  out: string;
  err: string;
}

export interface FakeIoOptions {
  env?: Record<string, string>;
  cwd?: string;
  home?: string;
  terminal?: boolean;
  color?: boolean;
  width?: number;
}

export const fakeIo = (options: FakeIoOptions = {}): FakeIo => {
  const { terminal = false, width = terminal ? 80 : Number.POSITIVE_INFINITY } = options;
  const side = { terminal, palette: createPalette(options.color ?? false), width: () => width };
  const io: FakeIo = {
    out: "",
    err: "",
    env: options.env ?? {},
    cwd: options.cwd ?? "/",
    home: options.home ?? "/home/nobody",
    stdin: { terminal },
    stdout: { ...side, waiting: () => 0, drained: () => Promise.resolve() },
    stderr: side,
    write: (text) => {
      io.out += text;
    },
    say: (text) => {
      io.err += `${text}\n`;
    },
    writeError: (text) => {
      io.err += text;
    },
  };
  return io;
};
