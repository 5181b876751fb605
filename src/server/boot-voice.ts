import { createJournal } from "./journal.ts";

/** How the daemon speaks before its log is there: in the form that the log will have, and whatever its level. */

export interface BootVoice {
  /** Why there will be no daemon; each line by itself. */
  failed(message: string): void;
  /** A key was made: shown on a terminal, for the only time. A log is kept and read by others: it gets the file's path. */
  madeKey(path: string, key: string): void;
}

/** Where it speaks; `isTTY` as Node.js has it. */
export interface Listener {
  isTTY?: boolean;
  write(text: string): void;
}

const made = (path: string): string => `No API_KEY was set, so one was made and written to ${path}`;

const people = (stream: Listener): BootVoice => ({
  failed: (message) => stream.write(`solar-host: ${message}\n`),
  madeKey: (path, key) =>
    stream.write(
      stream.isTTY === true
        ? `${made(path)}:\n\n    ${key}\n\nSend it as X-API-Key.\n\n`
        : `${made(path)}. Send it as X-API-Key.\n`,
    ),
});

const programs = (stream: Listener): BootVoice => {
  const write = (text: string): void => stream.write(text);
  const journal = createJournal({ format: "json", level: "debug", color: false, write });
  return {
    failed: (message) => {
      for (const line of message.split("\n")) journal.error(line);
    },
    madeKey: (path) => journal.info(`${made(path)}. Send it as X-API-Key.`, { api_key_file: path }),
  };
};

export const bootVoice = (format: "human" | "json", stream: Listener): BootVoice =>
  format === "json" ? programs(stream) : people(stream);
