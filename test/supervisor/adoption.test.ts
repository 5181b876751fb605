import { expect, test } from "bun:test";
import { isOurs } from "../../src/supervisor/adoption.ts";

const folder = { id: "id", path: "/a" };

test.each<[string, { folder?: string }, string | null, boolean]>([
  ["of this folder is ours", { folder: "id" }, "id", true],
  ["of this folder, whose environment is hidden, is ours", { folder: "id" }, null, true],
  ["that was copied from another folder is not ours", { folder: "other" }, "other", false],
  ["of an older version, in this folder, is ours", {}, "/a", true],
  ["of an older version, whose environment is hidden, is ours", {}, null, true],
  ["of an older version, whose process a newer one started here, is ours", {}, "id", true],
  ["of an older version, copied from another folder, is not ours", {}, "/b", false],
  ["of an older version, of a process that a newer one started elsewhere, is not ours", {}, "other", false],
])("the process of a record %s", (_, record, mark, ours) => {
  expect(isOurs(record, folder, mark)).toBe(ours);
});
