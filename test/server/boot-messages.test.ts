import { describe, expect, test } from "bun:test";
import { bootMessages } from "../../src/server/boot-messages.ts";

const said = (format: "human" | "json", isTTY: boolean | undefined): string => {
  let text = "";
  const write = (more: string): void => {
    text += more;
  };
  const stream = isTTY === undefined ? { write } : { isTTY, write };
  bootMessages(format, stream).madeKey("/srv/.env", "TOPSECRET");
  return text;
};

describe("a key that was made", () => {
  test("is shown on a terminal, with its file", () => {
    expect(said("human", true)).toContain("TOPSECRET");
    expect(said("human", true)).toContain("/srv/.env");
  });

  test("is not in what a service manager, a file or a pipe gets, nor in JSON on a terminal: its file is", () => {
    const logs = [said("human", false), said("human", undefined), said("json", false), said("json", true)];
    for (const text of logs) {
      expect(text).toContain("/srv/.env");
      expect(text).not.toContain("TOPSECRET");
      expect(text.trimEnd().split("\n")).toHaveLength(1);
    }
  });
});
