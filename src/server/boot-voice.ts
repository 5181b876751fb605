import { createJournal } from "./journal.ts";

/** How the daemon speaks before its log is there: in the form that the log will have, and whatever its level. */

export interface BootVoice {
  /** Why there will be no daemon; each line by itself. */
  failed(message: string): void;
  /** The key that was made, for the only time. */
  madeKey(path: string, key: string): void;
}

const people = (write: (text: string) => void): BootVoice => ({
  failed: (message) => write(`solar-host: ${message}\n`),
  madeKey: (path, key) =>
    write(`No API_KEY was set, so one was made and written to ${path}:\n\n    ${key}\n\nSend it as X-API-Key.\n\n`),
});

const programs = (write: (text: string) => void): BootVoice => {
  const journal = createJournal({ format: "json", level: "debug", color: false, write });
  return {
    failed: (message) => {
      for (const line of message.split("\n")) journal.error(line);
    },
    madeKey: (path, key) =>
      journal.info(`No API_KEY was set, so one was made and written to ${path}. Send it as X-API-Key.`, {
        api_key: key,
      }),
  };
};

export const bootVoice = (format: "human" | "json", write: (text: string) => void): BootVoice =>
  format === "json" ? programs(write) : people(write);
