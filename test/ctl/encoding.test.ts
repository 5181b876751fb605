import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Cli } from "../../src/ctl/cli.ts";
import { readConfigFile } from "../../src/ctl/config-input.ts";
import { contextsPath, readContexts } from "../../src/ctl/contexts.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

test("a file of the client's that is not UTF-8 is refused with the place, and left as it is: contexts, -f", async () => {
  const home = temporaryFolder();
  const io = { env: {}, home };
  const path = contextsPath(io);
  mkdirSync(dirname(path), { recursive: true });
  const bytes = Buffer.from('{"current": null,\n "contexts": {"caf\xe9": {"url": "http://a", "key": "k"}}}', "latin1");
  writeFileSync(path, bytes);
  expect(() => readContexts(io)).toThrow(`${path} is broken: not UTF-8`);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  const config = join(home, "config.yaml");
  writeFileSync(config, Buffer.from("model: /m\nalias: caf\xe9\n", "latin1"));
  await expect(readConfigFile({} as Cli, config)).rejects.toThrow(`${config}:2:11: not UTF-8; save the file as UTF-8`);
});
