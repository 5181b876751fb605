import { Command, Option } from "commander";

/** `serve` as completion needs it: its flags are the daemon's own, which the client knows from what it says of itself. */

/** What the values are named after that are paths. */
const PATHS = /^(?:file|folder|dir|server|python|cert|key|ca)$/;

const option = (flag: string, takes: string | undefined, description: string): Option => {
  if (takes === undefined) return new Option(flag, description);
  if (takes === "true|false") return new Option(`${flag} [${takes}]`, description);
  if (PATHS.test(takes)) return new Option(`${flag} <file>`, description);
  const made = new Option(`${flag} <${takes}>`, description);
  return takes.includes("|") ? made.choices(takes.split("|")) : made;
};

export const serveCommand = (): Command => {
  const help = Bun.spawnSync([process.execPath, "serve", "--help"], { stdin: "ignore", stderr: "ignore" });
  const lines = help.stdout.toString().matchAll(/^ {2}(--[\w-]+)(?: [<[](\S+)[>\]])? +(.*)$/gm);
  const command = new Command("serve");
  for (const [, flag = "", takes, description = ""] of lines) command.addOption(option(flag, takes, description));
  return command;
};
