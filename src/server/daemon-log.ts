import { Chalk } from "chalk";
import type { Journal } from "../common/journal.ts";

/** The daemon's own log, on stderr: a line an event, for people or for programs. */

const levels = ["debug", "info", "warn", "error"] as const;
export type Level = (typeof levels)[number];

/** As sd-daemon(3) and syslog have them. */
const priorities: Record<Level, number> = { debug: 7, info: 6, warn: 4, error: 3 };

/** Whether stderr is the stream that systemd's journal reads, by device and inode; a redirection makes it another. */
export const isJournalStream = (
  stream: { dev: number; ino: number },
  env: Record<string, string | undefined>,
): boolean => env.JOURNAL_STREAM === `${stream.dev}:${stream.ino}`;

export interface DaemonLogOptions {
  format: "human" | "json";
  level: Level;
  color: boolean;
  /** Whether systemd's journal reads it: a line begins with its priority then, which the journal takes away. */
  underJournal?: boolean;
  write(text: string): void;
}

/** Colours belong on a terminal, and nowhere where `NO_COLOR` is set. */
export const wantsColor = (stream: { isTTY?: boolean }, env: Record<string, string | undefined>): boolean =>
  stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";

export const createDaemonLog = ({ format, level, color, underJournal = false, write }: DaemonLogOptions): Journal => {
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const paint: Record<Level, (text: string) => string> = {
    debug: chalk.dim,
    info: chalk.cyan,
    warn: chalk.yellow,
    error: chalk.red,
  };
  const priority = (name: Level): string => (underJournal ? `<${priorities[name]}>` : "");
  const human = (name: Level, message: string, facts: Record<string, unknown>): string => {
    const time = new Date().toISOString();
    const tail = Object.entries(facts).map(([key, value]) => chalk.dim(` ${key}=${String(value)}`));
    return `${priority(name)}${chalk.dim(time)} ${paint[name](name.padEnd(5))} ${message}${tail.join("")}\n`;
  };
  const json = (name: Level, message: string, facts: Record<string, unknown>): string =>
    `${JSON.stringify({ time: new Date().toISOString(), level: name, message, ...facts })}\n`;
  const log =
    (name: Level) =>
    (message: string, facts: Record<string, unknown> = {}): void => {
      if (levels.indexOf(name) < levels.indexOf(level)) return;
      write((format === "json" ? json : human)(name, message, facts));
    };
  return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
};
