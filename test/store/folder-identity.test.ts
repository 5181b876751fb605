import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FolderIdentity, type FolderPlace, identityAt, knowFolder } from "../../src/store/folder-identity.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const place: FolderPlace = { boot_id: "boot", device: "1", inode: "2", path: "/a" };
const kept: FolderIdentity = { id: "kept", ...place };

test.each<[string, FolderIdentity | null, Partial<FolderPlace>, { id: string; copyOf: string | null }]>([
  ["that has none yet gets one", null, {}, { id: "new", copyOf: null }],
  ["keeps it where it lies", kept, {}, { id: "kept", copyOf: null }],
  ["keeps it when it was moved", kept, { path: "/b" }, { id: "kept", copyOf: null }],
  ["that is a copy gets its own, and it is said of what", kept, { inode: "3" }, { id: "new", copyOf: "/a" }],
  ["on another device is a copy", kept, { device: "3" }, { id: "new", copyOf: "/a" }],
  ["gets another one with each boot, and is no copy for that", kept, { boot_id: "next" }, { id: "new", copyOf: null }],
  ["that was copied before the boot gets its own", kept, { boot_id: "next", inode: "3" }, { id: "new", copyOf: null }],
])("a folder %s", (_, before, changes, { id, copyOf }) => {
  const now = { ...place, ...changes };
  expect(identityAt(before, now, () => "new")).toEqual({ identity: { id, ...now }, copyOf });
});

const stateOf = (folder: string): string => {
  const stateDir = join(folder, ".solar-host");
  mkdirSync(stateDir, { recursive: true });
  return stateDir;
};

test("the identity of a real folder goes with it when it is moved, and not with a copy", () => {
  const dir = temporaryFolder();
  const first = knowFolder(stateOf(join(dir, "first")), "boot").identity;
  expect(knowFolder(stateOf(join(dir, "first")), "boot")).toEqual({ identity: first, copyOf: null });
  cpSync(join(dir, "first"), join(dir, "copy"), { recursive: true });
  renameSync(join(dir, "first"), join(dir, "moved"));
  const moved = knowFolder(stateOf(join(dir, "moved")), "boot");
  expect(moved).toEqual({ identity: { ...first, path: join(dir, "moved") }, copyOf: null });
  const copy = knowFolder(stateOf(join(dir, "copy")), "boot");
  expect(copy.copyOf).toBe(join(dir, "first"));
  expect(copy.identity.id).not.toBe(first.id);
  expect(knowFolder(stateOf(join(dir, "copy")), "boot")).toEqual({ identity: copy.identity, copyOf: null });
});

test.each([
  ["half", '{"id": '],
  ["of blanks, which macOS shows as the ends of entries", JSON.stringify({ ...kept, id: "a b" })],
  ["no object", "[]"],
])("an identity that is %s is none", (_, text) => {
  const stateDir = stateOf(temporaryFolder());
  writeFileSync(join(stateDir, "identity.json"), text);
  const { identity, copyOf } = knowFolder(stateDir, "boot");
  expect(copyOf).toBeNull();
  expect(JSON.parse(readFileSync(join(stateDir, "identity.json"), "utf8"))).toEqual(identity);
  expect(identity.id).toMatch(/^[0-9a-f-]{36}$/);
});
