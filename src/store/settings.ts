import { randomBytes } from "node:crypto";
import { z } from "zod";
import { parseDotenv } from "../common/dotenv.ts";
import { isMissing, systemProblem } from "../common/system-error.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { replaceFileSync } from "./atomic-file.ts";
import { expandHome } from "./home.ts";
import { readRegularFile } from "./regular-file.ts";

/** The daemon's settings: flags of `serve`, then the process environment, then `.env`, then defaults. */

/** Decimal digits alone: `Number` would take a blank for 0 and hexadecimal too. */
const decimal = (error: string) =>
  z
    .string()
    .trim()
    .regex(/^[+-]?\d+(\.\d+)?$/, error)
    .transform(Number);

const whole = (min: number, max: number) =>
  decimal("should be a whole number").pipe(
    z
      .number()
      .int("should be a whole number")
      .min(min, `should be at least ${min}`)
      .max(max, `should be at most ${max}`),
  );

const seconds = (max: number) =>
  decimal("should be a number of seconds").pipe(
    z.number().min(0, "should be at least 0").max(max, `should be at most ${max}`),
  );

const yesNo = z
  .string()
  .transform((value) => value.trim().toLowerCase())
  .pipe(z.enum(["true", "false", "1", "0", "yes", "no", ""], { error: "should be true or false" }))
  .transform((value) => value === "true" || value === "1" || value === "yes");

const DAY = 86_400;

interface SettingSpec<S extends z.ZodType = z.ZodType> {
  schema: S;
  fallback: string;
  description: string;
}

const setting = <S extends z.ZodType>(schema: S, fallback: string, description: string): SettingSpec<S> => ({
  schema,
  fallback,
  description,
});

/** Each setting once: its rule, its default as it would stand in `.env`, and what it means. */
export const settingSpecs = {
  HOST: setting(z.string().min(1, "should not be empty"), "0.0.0.0", "address to listen on"),
  PORT: setting(whole(0, 65_535), "8001", "port to listen on; 0 takes a free one"),
  CONFIG_FILE: setting(z.string().min(1, "should not be empty"), "config.json", "where the instances are stored"),
  LOG_DIR: setting(z.string().min(1, "should not be empty"), "logs", "folder of the instances' logs"),
  START_PORT: setting(whole(1, 65_535), "3500", "first port for instances"),
  MAX_RETRIES: setting(whole(1, 100), "2", "attempts in all for a start"),
  LOG_BUFFER_SIZE: setting(whole(1, 1_000_000), "1000", "log lines kept in memory and replayed, for each instance"),
  LOG_MAX_MB: setting(whole(1, 1_000_000), "100", "size of one log file, in MiB, at which its head is given back"),
  LOG_KEEP_FILES: setting(whole(1, 10_000), "10", "log files kept of one instance, one for each start"),
  START_WAIT: setting(seconds(600), "20", "seconds that a start request waits for the model to be ready"),
  STOP_TIMEOUT: setting(seconds(3600), "10", "seconds between SIGTERM and SIGKILL"),
  KEEP_INSTANCES: setting(yesNo, "false", "leave the model servers running when the daemon ends"),
  MAX_PARALLEL_STARTS: setting(whole(0, 10_000), "0", "models that may load at the same time; 0 is no limit"),
  HEALTH_INTERVAL: setting(seconds(DAY), "10", "seconds between health checks of a running instance; 0 is never"),
  HANG_TIMEOUT: setting(
    seconds(DAY),
    "600",
    "seconds that a silent instance at work is left alone before it is restarted",
  ),
  LLAMA_SERVER: setting(z.string(), "", "llama-server to run; looked up on PATH when empty"),
  PYTHON: setting(z.string(), "", "Python for the HuggingFace backends; the active environment's when empty"),
  LOG_FORMAT: setting(
    z.enum(["human", "json"], { error: "should be human or json" }),
    "human",
    "form of the daemon's own log on stderr: human or json",
  ),
  LOG_LEVEL: setting(
    z.enum(["debug", "info", "warn", "error"], { error: "should be debug, info, warn or error" }),
    "info",
    "least important lines of the daemon's own log",
  ),
} as const satisfies Record<string, SettingSpec>;

export type SettingName = keyof typeof settingSpecs;

export type SettingValues = { [N in SettingName]: z.output<(typeof settingSpecs)[N]["schema"]> };

export interface Settings extends SettingValues {
  /** Null: no key was given. Empty: no authentication. */
  API_KEY: string | null;
}

export class SettingsError extends Error {}

/** In which `~/` is the user's home folder. */
const PATHS: readonly string[] = ["CONFIG_FILE", "LOG_DIR", "LLAMA_SERVER", "PYTHON"];

type Source = Readonly<Record<string, string | undefined>>;

/**
 * Reads a `.env` file; one that does not exist is empty.
 * @param env what `${NAME}` in the file may name besides its own settings
 * @param warn told of each line that sets nothing
 * @returns the values by name in capitals, as the Python program knows them: of two that differ in case, the last
 */
export const readEnvFile = (
  path: string,
  env: Source = process.env,
  warn: (message: string) => void = () => undefined,
): Record<string, string> => {
  const text = readEnvText(path);
  if (text === null) return {};
  const { values, invalidLines } = parseDotenv(text, env);
  const set = [...values].flatMap(([name, value]) => (value === null ? [] : [[name.toUpperCase(), value]]));
  for (const line of invalidLines) warn(`${path}:${line}: is neither NAME=value nor a comment, and is ignored`);
  for (const [name, value] of values) if (value === null) warn(`${path}: ${name} has no '=' and is ignored`);
  return Object.fromEntries(set);
};

/** Null where there is no such file. */
const readEnvText = (path: string): string | null => {
  try {
    return decodeUtf8(readRegularFile(path));
  } catch (error) {
    if (error instanceof EncodingError) {
      throw new SettingsError(`${path}:${error.line}:${error.column}: ${error.message}`);
    }
    if (isMissing(error)) return null;
    throw new SettingsError(`cannot read the settings: ${systemProblem(error, path)}`);
  }
};

/** Whether a name in `.env` is one of ours, in whatever case. */
export const isSettingName = (name: string): boolean =>
  name.toUpperCase() === "API_KEY" || Object.hasOwn(settingSpecs, name.toUpperCase());

const lookUp = (source: Source, name: string): string | undefined => {
  if (source[name] !== undefined) return source[name];
  const key = Object.keys(source).find((candidate) => candidate.toUpperCase() === name);
  return key === undefined ? undefined : source[key];
};

/** Of several sources, the first that has the name, whatever its case. */
const resolve = (
  sources: readonly { name: string; values: Source }[],
  name: string,
): { value: string; from: string } | null => {
  for (const source of sources) {
    const value = lookUp(source.values, name);
    if (value !== undefined) return { value, from: source.name };
  }
  return null;
};

/** `LOG_DIR` as the flag it is: `--log-dir`. */
export const flagOf = (name: string): string => `--${name.toLowerCase().replaceAll("_", "-")}`;

/**
 * The settings in force.
 * @param flags values given on the command line, by setting name
 * @throws SettingsError naming each setting that is wrong, its value and where it came from
 */
export const resolveSettings = (flags: Source, env: Source, envFile: Source): Settings => {
  const sources = [
    { name: "the command line", values: flags },
    { name: "the environment", values: env },
    { name: ".env", values: envFile },
  ];
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(settingSpecs)) {
    const found = resolve(sources, name);
    const text = found === null || (found.value === "" && spec.fallback !== "") ? spec.fallback : found.value;
    const parsed = spec.schema.safeParse(PATHS.includes(name) ? expandHome(text, env) : text);
    if (parsed.success) values[name] = parsed.data;
    else
      problems.push(`${name} ${parsed.error.issues[0]?.message}, but is '${text}' (from ${found?.from ?? "default"})`);
  }
  if (problems.length > 0) throw new SettingsError(problems.join("\n"));
  return { ...(values as SettingValues), API_KEY: resolve(sources.slice(1), "API_KEY")?.value ?? null };
};

/** The form of the daemon's log that is asked for, also where other settings are wrong. */
export const askedLogFormat = (flags: Source, env: Source, envFile: Source): "human" | "json" => {
  const sources = [flags, env, envFile].map((values) => ({ name: "", values }));
  return resolve(sources, "LOG_FORMAT")?.value === "json" ? "json" : "human";
};

/** Makes a key and adds it to the `.env` file, which is for its owner alone. It needs no quotes: it is of letters, digits, - and _. */
export const writeFirstKey = (path: string): string => {
  const key = randomBytes(24).toString("base64url");
  // Read once more: it stays as it is, its byte order mark too.
  const before = readEnvText(path) === null ? "" : readRegularFile(path).toString("utf8");
  const separator = before === "" || before.endsWith("\n") ? "" : "\n";
  replaceFileSync(path, `${before}${separator}API_KEY=${key}\n`, true);
  return key;
};
