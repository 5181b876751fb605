import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { givenKey, makeKey, weaknessOf } from "../../src/server/api-key.ts";
import { BootError } from "../../src/server/boot.ts";
import { isLoopback } from "../../src/server/cross-origin.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

interface Given {
  key?: string | null;
  host?: string;
  file?: string | null;
  envPath?: string;
}

/** The key, or why there is none. */
const obtained = ({ key = null, host = "127.0.0.1", file = null, envPath = "/nowhere/.env" }: Given) => {
  try {
    const settings = { API_KEY: key, HOST: host };
    return { key: givenKey(settings, { apiKeyFile: file }) ?? makeKey(envPath) };
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    return { code: error.exitCode, message: error.message };
  }
};

test("only addresses of this machine are loopback, and no name that looks like one", () => {
  for (const host of ["localhost", "::1", "127.0.0.1", "127.0.1.1", "127.255.255.254"]) {
    expect([host, isLoopback(host)]).toEqual([host, true]);
  }
  const others = ["127.evil.com", "127.0.0.1.evil.com", "127.0.0.256", "127.1", "127.", "0.0.0.0", "::", "1127.0.0.1"];
  for (const host of others) expect([host, isLoopback(host)]).toEqual([host, false]);
});

describe("the key", () => {
  test("may be empty on loopback, and nowhere else", () => {
    expect(obtained({ key: "" })).toEqual({ key: "" });
    for (const host of ["0.0.0.0", "127.evil.com"]) {
      expect(obtained({ key: "", host })).toMatchObject({ code: 2, message: expect.stringContaining(`HOST=${host}`) });
    }
  });

  test("of a file comes before the setting; one that is empty is refused, on loopback too", () => {
    const file = join(temporaryFolder(), "key");
    writeFileSync(file, " of the file\n");
    expect(obtained({ key: "of the setting", file })).toEqual({ key: "of the file" });
    for (const text of ["", "\n", " \n\n"]) {
      writeFileSync(file, text);
      expect(obtained({ key: "of the setting", file })).toMatchObject({
        code: 2,
        message: `--api-key-file: '${file}' is empty. Write a key into it, or leave the flag out.`,
      });
    }
  });

  test("is one that a header can carry, and is not repeated where it is not", () => {
    const file = join(temporaryFolder(), "key");
    for (const key of ["schlüssel-4711", "🔑-4711", "4711\n4711", "4711\t", " 4711", "4711 "]) {
      const refused = obtained({ key });
      expect([key, refused.code, refused.message]).toEqual([key, 2, expect.stringContaining("API_KEY ")]);
      expect(refused.message).not.toContain("4711");
    }
    writeFileSync(file, "schlüssel");
    expect(obtained({ file })).toMatchObject({ code: 2, message: expect.stringContaining(file) });
    expect(obtained({ key: "a b~!" })).toEqual({ key: "a b~!" });
  });

  test("is made where there is none, and written into .env", () => {
    const envPath = join(temporaryFolder(), ".env");
    const { key = "" } = obtained({ envPath });
    expect(key.length).toBeGreaterThan(20);
    expect(readFileSync(envPath, "utf8")).toBe(`API_KEY=${key}\n`);
  });

  test("that cannot be saved is none: the message says where, and what to do instead", () => {
    const envPath = join(temporaryFolder(), "gone/.env");
    writeFileSync(join(envPath, "../../gone"), "a file where a folder should be");
    const { code, message } = obtained({ envPath });
    expect([code, existsSync(envPath)]).toEqual([1, false]);
    expect(message).toContain(
      `could not be saved: cannot read the settings: a part of the path '${envPath}' is a file and no folder. `,
    );
    expect(message).toContain("Or set API_KEY in the environment, or name a file that holds one with --api-key-file.");
  });
});

test("a key that others know, a short one and one of a single character are weak; none, and a random one, are not", () => {
  for (const key of ["change-me-please", "changeme", "CHANGE-ME", "password123", "hunter2", "abc", "aaaaaaaaaaaa"]) {
    expect([key, weaknessOf(key)]).toEqual([key, expect.stringContaining("the API key ")]);
    expect(weaknessOf(key)).not.toContain(key);
  }
  for (const key of ["", "q7Zk2mP0xW4v", "key-q7Zk2mP0", "testQx81kz9", "a-good-long-one-of-4711"])
    expect([key, weaknessOf(key)]).toEqual([key, null]);
});
