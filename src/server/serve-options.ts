import { type Command, Option } from "commander";
import { flagOf, type SettingName, settingSpecs } from "../store/settings.ts";
import type { DaemonFlags } from "./boot.ts";

/** The flags of `serve`: one for each setting, named as it is. */

/** The words that a setting takes, else what it is. */
const placeholder = (name: string, schema: object): string => {
  const words = "options" in schema && Array.isArray(schema.options) ? schema.options.join("|") : null;
  return `<${words ?? name.toLowerCase().split("_").at(-1)}>`;
};

const option = (name: string, { schema, fallback, description }: (typeof settingSpecs)[SettingName]): Option => {
  const value = fallback === "true" || fallback === "false" ? "[true|false]" : placeholder(name, schema);
  const shown = fallback === "" ? description : `${description} (default: ${fallback})`;
  return new Option(`${flagOf(name)} ${value}`, shown);
};

const KEY_IN_ARGV =
  "--api-key: every user of this machine can read a command line. Write the key into a file and name that with --api-key-file, or set API_KEY.";

const propertyOf = (name: string): string =>
  name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

export const addServeOptions = (command: Command, run: (flags: DaemonFlags) => Promise<void>): void => {
  for (const [name, spec] of Object.entries(settingSpecs)) {
    command.addOption(option(name, spec));
  }
  command
    .addOption(new Option("--api-key [key]").hideHelp())
    .option(
      "--dir <folder>",
      "folder to serve; relative paths of the other flags begin there (default: this directory)",
    )
    .option("--api-key-file <file>", "file that holds the API key; better than API_KEY in the environment")
    .addHelpText(
      "after",
      `
Each flag is a setting too: in the environment or in .env of the folder, --log-dir is LOG_DIR.
Flags come first, then the environment, then .env. The key is API_KEY; with none, the first run
makes one and writes it to .env. A .env is taken for another program's, and never changed, where
the folder was not served before (it has neither .solar-host nor the config file) and .env has a name
that is no setting.

Examples:
  $ solar-host serve
  $ solar-host serve --dir /srv/solar-host
  $ solar-host serve --host 127.0.0.1 --port 9001
  $ LOG_FORMAT=json solar-host serve 2>> solar-host.log
  $ solar-host serve --keep-instances     models go on when the daemon ends, for an upgrade`,
    )
    .action(
      async ({
        apiKeyFile,
        dir,
        ...options
      }: Record<string, string | true> & { apiKeyFile?: string; dir?: string }) => {
        // Without an option of this name the message about it would repeat the key, into whatever log there is.
        if (options.apiKey !== undefined) command.error(KEY_IN_ARGV);
        const given = Object.keys(settingSpecs).flatMap((name): [string, string][] => {
          const value = options[propertyOf(name)];
          // A flag alone means yes.
          return value === undefined ? [] : [[name, value === true ? "true" : value]];
        });
        await run({ settings: Object.fromEntries(given), apiKeyFile: apiKeyFile ?? null, dir: dir ?? null });
      },
    );
};
