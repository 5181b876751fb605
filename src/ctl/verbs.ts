import { nearest } from "../command-line.ts";
import type { Verb } from "./cli.ts";
import { usageError } from "./errors.ts";

/** Every command: its name, what it is for, and where it is. */

export interface VerbEntry {
  name: string;
  alias?: string;
  summary: string;
  load: () => Promise<Verb>;
}

export const verbs: readonly VerbEntry[] = [
  { name: "ls", alias: "ps", summary: "list the instances", load: () => import("./commands/ls.ts") },
  { name: "get", summary: "show everything about instances", load: () => import("./commands/get.ts") },
  { name: "create", summary: "create an instance", load: () => import("./commands/create.ts") },
  { name: "edit", summary: "change the config of instances", load: () => import("./commands/edit.ts") },
  { name: "rm", summary: "delete instances", load: () => import("./commands/rm.ts") },
  { name: "start", summary: "start instances", load: () => import("./commands/start.ts") },
  { name: "stop", summary: "stop instances", load: () => import("./commands/stop.ts") },
  { name: "restart", summary: "stop and start instances", load: () => import("./commands/restart.ts") },
  { name: "logs", summary: "print and follow logs", load: () => import("./commands/logs.ts") },
  { name: "state", summary: "what the model servers are doing now", load: () => import("./commands/state.ts") },
  { name: "last", summary: "figures of the last finished generation", load: () => import("./commands/last.ts") },
  { name: "wait", summary: "wait until instances run or are stopped", load: () => import("./commands/wait.ts") },
  { name: "top", summary: "a live table of all instances", load: () => import("./commands/top.ts") },
  { name: "memory", summary: "memory of the GPUs, or of the machine", load: () => import("./commands/memory.ts") },
  {
    name: "health",
    summary: "whether the daemon, or an instance, is well",
    load: () => import("./commands/health.ts"),
  },
  { name: "keys", summary: "who else may ask the daemon, and for what", load: () => import("./commands/keys.ts") },
  { name: "context", summary: "name the hosts that you work with", load: () => import("./commands/context.ts") },
  { name: "completion", summary: "completion for bash, zsh and fish", load: () => import("./commands/completion.ts") },
];

const TAKES_VALUE = ["--context", "--url", "--key"];

/** The word that stands for a verb among those behind `ctl`; flags for the target may stand before it. */
const verbWord = (words: readonly string[]): string | undefined => {
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (TAKES_VALUE.includes(word)) at += 1;
    else if (!word.startsWith("-") && word !== "help") return word;
  }
  return undefined;
};

export const verbIn = (words: readonly string[]): VerbEntry | undefined => {
  const word = verbWord(words);
  return verbs.find(({ name, alias }) => word === name || (word !== undefined && word === alias));
};

/** What other tools call these verbs. */
const SYNONYMS: Readonly<Record<string, string>> = {
  list: "ls",
  status: "ls",
  delete: "rm",
  remove: "rm",
  show: "get",
  inspect: "get",
  describe: "get",
  new: "create",
  add: "create",
  set: "edit",
  update: "edit",
  patch: "edit",
  kill: "stop",
  log: "logs",
  tail: "logs",
  mem: "memory",
  ping: "health",
  contexts: "context",
  key: "keys",
  token: "keys",
};

/** @throws usage error that names the verb which is meant, where that is known */
export const refuseStrayVerb = (words: readonly string[]): void => {
  const word = verbWord(words);
  if (word === undefined || verbIn(words) !== undefined) return;
  const names = verbs.map(({ name }) => name);
  const meant = Object.hasOwn(SYNONYMS, word) ? SYNONYMS[word] : nearest(word, names);
  throw usageError(
    `there is no command '${word}'`,
    ...(meant === undefined ? [] : [`do you mean '${meant}'?`]),
    "see what there is: solar-host ctl --help",
  );
};
