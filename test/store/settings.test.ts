import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  askedLogFormat,
  flagOf,
  readEnvFile,
  resolveSettings,
  SettingsError,
  settingSpecs,
  writeFirstKey,
} from "../../src/store/settings.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const problemsOf = (...sources: Parameters<typeof resolveSettings>): string[] => {
  try {
    resolveSettings(...sources);
  } catch (error) {
    if (error instanceof SettingsError) return error.message.split("\n");
    throw error;
  }
  return [];
};

test("the form of the log is known where other settings are wrong, and where it is wrong itself", () => {
  expect(askedLogFormat({}, { log_format: "json", PORT: "many" }, {})).toBe("json");
  expect(askedLogFormat({ LOG_FORMAT: "human" }, { LOG_FORMAT: "json" }, {})).toBe("human");
  expect(askedLogFormat({}, {}, { LOG_FORMAT: "json" })).toBe("json");
  expect([askedLogFormat({}, {}, {}), askedLogFormat({}, { LOG_FORMAT: "xml" }, {})]).toEqual(["human", "human"]);
});

describe("the settings", () => {
  test("have the defaults of the contract", () => {
    const { HOST, PORT, CONFIG_FILE, LOG_DIR, START_PORT, MAX_RETRIES, LOG_BUFFER_SIZE } = resolveSettings({}, {}, {});
    expect({ HOST, PORT, CONFIG_FILE, LOG_DIR, START_PORT, MAX_RETRIES, LOG_BUFFER_SIZE }).toEqual({
      HOST: "0.0.0.0",
      PORT: 8001,
      CONFIG_FILE: "config.json",
      LOG_DIR: "logs",
      START_PORT: 3500,
      MAX_RETRIES: 2,
      LOG_BUFFER_SIZE: 1000,
    });
  });

  test("come from the command line before the environment, and from there before .env", () => {
    const file = { PORT: "1", START_PORT: "1", LOG_DIR: "file" };
    const env = { PORT: "2", START_PORT: "2" };
    const { PORT, START_PORT, LOG_DIR } = resolveSettings({ PORT: "3" }, env, file);
    expect([PORT, START_PORT, LOG_DIR]).toEqual([3, 2, "file"]);
  });

  test("are found whatever the case of their names, and unknown ones are ignored", () => {
    const { PORT, MAX_RETRIES } = resolveSettings({}, { port: "9", SOMETHING: "else" }, { Max_Retries: "4" });
    expect([PORT, MAX_RETRIES]).toEqual([9, 4]);
  });

  test("take the name in capitals where there are two", () => {
    expect(resolveSettings({}, { port: "9", PORT: "10" }, {}).PORT).toBe(10);
  });

  test("that are empty mean their default", () => {
    const { PORT, HOST, KEEP_INSTANCES } = resolveSettings({}, { PORT: "", HOST: "", KEEP_INSTANCES: "" }, {});
    expect([PORT, HOST, KEEP_INSTANCES]).toEqual([8001, "0.0.0.0", false]);
  });

  test("that are wrong are all named at once, each with its value and where it came from", () => {
    const flags = { MAX_RETRIES: "0" };
    const env = { PORT: "70000", START_PORT: "many" };
    const file = { LOG_FORMAT: "xml", KEEP_INSTANCES: "perhaps", LOG_MAX_MB: "1.5" };
    expect(problemsOf(flags, env, file).sort()).toEqual(
      [
        "MAX_RETRIES should be at least 1, but is '0' (from the command line)",
        "PORT should be at most 65535, but is '70000' (from the environment)",
        "START_PORT should be a whole number, but is 'many' (from the environment)",
        "LOG_FORMAT should be human or json, but is 'xml' (from .env)",
        "KEEP_INSTANCES should be true or false, but is 'perhaps' (from .env)",
        "LOG_MAX_MB should be a whole number, but is '1.5' (from .env)",
      ].sort(),
    );
  });

  test("never show the key in what is wrong", () => {
    const problems = problemsOf({}, { API_KEY: "sesame", PORT: "x" }, { API_KEY: "sesame" });
    expect(problems.join("\n")).not.toContain("sesame");
  });

  test("take yes and no in the words that people use", () => {
    const read = (text: string) => resolveSettings({}, { KEEP_INSTANCES: text }, {}).KEEP_INSTANCES;
    expect(["true", "1", "yes", "TRUE", " yes "].map(read)).toEqual([true, true, true, true, true]);
    expect(["false", "0", "no", "False"].map(read)).toEqual([false, false, false, false]);
  });

  test("tell no key from an empty one, which means that none is needed", () => {
    expect(resolveSettings({}, {}, {}).API_KEY).toBeNull();
    expect(resolveSettings({}, { API_KEY: "" }, { API_KEY: "from the file" }).API_KEY).toBe("");
    expect(resolveSettings({}, {}, { api_key: "k" }).API_KEY).toBe("k");
  });

  test("take no key from the command line, which ps shows to every user", () => {
    expect(resolveSettings({ API_KEY: "seen by all" }, {}, {}).API_KEY).toBeNull();
    expect(Object.keys(settingSpecs)).not.toContain("API_KEY");
  });

  test("are flags of the same name", () => {
    expect(flagOf("LOG_KEEP_FILES")).toBe("--log-keep-files");
  });
});

describe(".env", () => {
  test("is read with comments, quotes and blanks; one that is not there is empty", () => {
    const path = join(temporaryFolder(), ".env");
    expect(readEnvFile(path)).toEqual({});
    writeFileSync(
      path,
      "# a comment\nAPI_KEY=plain\nLOG_DIR=\"with blanks\"\nHOST='::1' # why\n\nEMPTY=\nexport PORT=9\n",
    );
    expect(readEnvFile(path)).toEqual({
      API_KEY: "plain",
      LOG_DIR: "with blanks",
      HOST: "::1",
      EMPTY: "",
      PORT: "9",
    });
  });

  test("a number is decimal digits: neither a blank nor hexadecimal is one", () => {
    for (const PORT of [" ", "0x10", "1e3", "8 001"])
      expect(() => resolveSettings({ PORT }, {}, {})).toThrow(/^PORT should/);
    expect(resolveSettings({ STOP_TIMEOUT: " 2.5 " }, {}, {}).STOP_TIMEOUT).toBe(2.5);
  });

  test("has names in any case: of two that differ in case the last counts, as for the Python program", () => {
    const path = join(temporaryFolder(), ".env");
    writeFileSync(path, "API_KEY=one\napi_key=#two\nPORT\n");
    expect(readEnvFile(path)).toEqual({ API_KEY: "#two" });
  });

  test("may name variables of the environment, and has the lines told that set nothing, without their text", () => {
    const path = join(temporaryFolder(), ".env");
    writeFileSync(path, `LOG_DIR=\${DATA}/logs\nmy secret\nPORT\nHOST='::1\n`);
    const told: string[] = [];
    expect(readEnvFile(path, { DATA: "/data" }, (message) => told.push(message))).toEqual({ LOG_DIR: "/data/logs" });
    expect(told).toEqual([
      `${path}:2: is neither NAME=value nor a comment, and is ignored`,
      `${path}:4: is neither NAME=value nor a comment, and is ignored`,
      `${path}: PORT has no '=' and is ignored`,
    ]);
  });

  test.each(["", "PORT=9", "API_KEY\n", "\ufeffPORT=9\r\n", "A='unfinished", `A="\${B}" # why\\`, "# comment", "\n\n"])(
    "that holds %j gives back the first key that is written to it",
    (before) => {
      const path = join(temporaryFolder(), ".env");
      writeFileSync(path, before);
      const values = readEnvFile(path);
      const key = writeFirstKey(path);
      expect(readEnvFile(path)).toEqual({ ...values, API_KEY: key });
      expect(readFileSync(path, "utf8").startsWith(before)).toBe(true);
    },
  );

  test("that is not UTF-8 is told with the place, and is left as it is", () => {
    const path = join(temporaryFolder(), ".env");
    const bytes = Buffer.from("PORT=9\nAPI_KEY=caf\xe9\n", "latin1");
    writeFileSync(path, bytes);
    expect(() => readEnvFile(path)).toThrow(new SettingsError(`${path}:2:12: not UTF-8; save the file as UTF-8`));
    expect(() => writeFirstKey(path)).toThrow(SettingsError);
    writeFileSync(path, Buffer.from("\ufeffAPI_KEY=a\n", "utf16le"));
    expect(() => readEnvFile(path)).toThrow(`${path}:1:1: UTF-16; save the file as UTF-8`);
    writeFileSync(path, "\ufeffAPI_KEY=a\n");
    expect(readEnvFile(path)).toEqual({ API_KEY: "a" });
  });

  test("that cannot be read is told", () => {
    expect(() => readEnvFile(temporaryFolder())).toThrow(SettingsError);
  });

  test("gets the first key, is for its owner alone then, and keeps what stood there", () => {
    const path = join(temporaryFolder(), ".env");
    writeFileSync(path, "PORT=9", { mode: 0o644 });
    const key = writeFirstKey(path);
    expect(key).toMatch(/^[\w-]{32}$/);
    expect(readFileSync(path, "utf8")).toBe(`PORT=9\nAPI_KEY=${key}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(writeFirstKey(join(temporaryFolder(), ".env"))).not.toBe(key);
  });
});
