import { createDaemonLog } from "./daemon-log.ts";

/** What the daemon says before its log is there: in the form that the log will have, at any level. */

export interface BootMessages {
  /** Why the daemon does not start; a log has an entry for each line. */
  failed(message: string): void;
  /** A key was made. A terminal shows it, once. A log is kept and others read it: it gets the path of the file. */
  madeKey(path: string, key: string): void;
}

/** Where it is written; `isTTY` as Node.js has it. */
interface Output {
  isTTY?: boolean;
  write(text: string): void;
}

const made = (path: string): string => `No API_KEY was set, so one was made and written to ${path}`;

const forPeople = (stream: Output): BootMessages => ({
  failed: (message) => stream.write(`solar-host: ${message}\n`),
  madeKey: (path, key) =>
    stream.write(
      stream.isTTY === true
        ? `${made(path)}:\n\n    ${key}\n\nSend it as X-API-Key.\n\n`
        : `${made(path)}. Send it as X-API-Key.\n`,
    ),
});

const forPrograms = (stream: Output): BootMessages => {
  const write = (text: string): void => stream.write(text);
  const journal = createDaemonLog({ format: "json", level: "debug", color: false, write });
  return {
    failed: (message) => {
      for (const line of message.split("\n")) journal.error(line);
    },
    madeKey: (path) => journal.info(`${made(path)}. Send it as X-API-Key.`, { api_key_file: path }),
  };
};

export const bootMessages = (format: "human" | "json", stream: Output): BootMessages =>
  format === "json" ? forPrograms(stream) : forPeople(stream);
