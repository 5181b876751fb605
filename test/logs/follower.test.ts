import { expect, setDefaultTimeout, test } from "bun:test";
import { openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileFollower } from "../../src/logs/follower.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

removeFoldersAfterEach();

/** A few lines, a write each, so close together that Bun's watch tells of the first ones only; a round for each byte on stdin. */
const WRITER = `
const { readSync, writeSync } = require("node:fs");
for (let round = 0; readSync(0, Buffer.alloc(1)) === 1; round++) {
  for (let line = 0; line < 3 + (round % 3); line++) {
    writeSync(1, "x\\n");
    for (const began = performance.now(); performance.now() - began < 0.3; );
  }
}`;

test("the last lines of a short burst come without another one behind them", async () => {
  const path = join(temporaryFolder(), "a.log");
  writeFileSync(path, "");
  let got = 0;
  const follower = new FileFollower(
    path,
    0,
    (chunk) => {
      got += chunk.length / 2;
    },
    { slowCheck: false },
  );
  follower.start();
  const writer = Bun.spawn([process.execPath, "-e", WRITER], { stdin: "pipe", stdout: openSync(path, "a") });
  let written = 0;
  for (let round = 0; round < 40; round++) {
    // The watch alone is trusted before each round, as when a log has been quiet for long.
    await until("the follower to rest", () => follower.resting);
    writer.stdin.write("x");
    written += 3 + (round % 3);
    await until(`line ${written}`, () => got === written, 10_000);
  }
  follower.close();
  writer.stdin.end();
  expect(await writer.exited).toBe(0);
});
