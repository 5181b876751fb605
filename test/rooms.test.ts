import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { root } from "./support/paths.ts";

/** Imports between the rooms of src point one way. `import type` counts: who knows a type depends on it. */

/** What the rooms that act stand on. */
const below = ["common", "contract", "process", "logs", "store", "backends", "system"];

/** What each room may import besides itself. */
const rooms: Record<string, { rooms: string[]; packages: RegExp }> = {
  common: { rooms: [], packages: /^node:(path|url)$/ },
  contract: { rooms: ["common"], packages: /^zod$/ },
  process: { rooms: ["common", "contract"], packages: /^(node:|bun:ffi$|bun$)/ },
  logs: { rooms: ["common", "contract"], packages: /^(node:|bun$)/ },
  store: { rooms: ["common", "contract"], packages: /^(node:|zod$|jsonc-parser$|bun$)/ },
  backends: { rooms: ["common", "contract"], packages: /^node:/ },
  system: { rooms: ["common", "contract"], packages: /^(node:|bun:ffi$|bun$)/ },
  runtime: { rooms: [...below], packages: /^node:/ },
  "model-server": { rooms: [...below], packages: /^node:/ },
  supervisor: { rooms: [...below, "runtime", "model-server"], packages: /^node:/ },
  server: {
    rooms: [...below, "runtime", "model-server", "supervisor", "version"],
    packages: /^(node:|bun$|hono(\/|$)|@hono\/|zod$|commander$|chalk$|swagger-ui-dist\/)/,
  },
  // The client is to know nothing of the daemon but what travels.
  ctl: {
    rooms: ["common", "contract", "version", "command-line"],
    packages: /^(node:|bun$|zod$|commander$|chalk$|jsonc-parser$|yaml$)/,
  },
};

interface Import {
  file: string;
  to: string;
  lazy: boolean;
}

const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[\s;{}(),])\/\/[^\n]*/g, "$1");

/** Each import of a source text, whatever its form. */
const importsOf = (file: string, source: string): Import[] => {
  const text = withoutComments(source);
  const fixed = /^\s*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*["']([^"']+)["']/gm;
  const lazy = /\b(?:import|require)\s*\(\s*["']([^"']+)["']/g;
  return [
    ...[...text.matchAll(fixed)].map(([, to = ""]) => ({ file, to, lazy: false })),
    ...[...text.matchAll(lazy)].map(([, to = ""]) => ({ file, to, lazy: true })),
  ];
};

/** The room of a path under src; a file that stands in none is one by its own name. */
const roomOf = (path: string): string => path.split("/")[0]?.replace(/\.ts$/, "") ?? "";

const files = [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(root, "src") })].sort();
const imports = files.flatMap((file) => importsOf(file, readFileSync(join(root, "src", file), "utf8")));

/** Where an import goes: a path under src, or the name of a package. */
const target = ({ file, to }: Import): string => (to.startsWith(".") ? normalize(join(dirname(file), to)) : to);

/** Why an import is not allowed; null where it is. */
const fault = (one: Import): string | null => {
  const room = roomOf(one.file);
  const rule = rooms[room];
  const to = target(one);
  if (rule === undefined) return null;
  if (!one.to.startsWith(".")) return rule.packages.test(to) ? null : `${one.file} imports ${to}`;
  // Files of the project that are no source: what is packed into the binary.
  if (to.startsWith("..")) return /\.(json|py|css|js|png)$/.test(to) ? null : `${one.file} imports ${to}`;
  const other = roomOf(to);
  return other === room || rule.rooms.includes(other) ? null : `${one.file} imports ${to}`;
};

test("imports between the rooms point one way", () => {
  expect(imports.map(fault).filter((text) => text !== null)).toEqual([]);
});

test("every folder of src is a room with a rule", () => {
  const folders = new Set(files.filter((file) => file.includes("/")).map(roomOf));
  expect([...folders].filter((folder) => !(folder in rooms))).toEqual([]);
});

/** The backend whose folder a path is in; null where it is in none. */
const backendIn = (path: string): string | null => /^backends\/([^/]+)\//.exec(path)?.[1] ?? null;

test("a backend's folder is known to itself and to the list of backends alone", () => {
  const inside = imports.filter((one) => backendIn(target(one)) !== null);
  expect(inside.length).toBeGreaterThan(0);
  const strangers = inside.filter((one) => backendIn(one.file) !== backendIn(target(one)));
  expect(new Set(strangers.map(({ file }) => file))).toEqual(new Set(["backends/index.ts"]));
});

test("the fields of a backend are known to the list of definitions, and to the rest by that alone", () => {
  const own = /^contract\/backends\/(?!index|definition|common)/;
  const strangers = imports.filter((one) => own.test(target(one)) && !one.file.startsWith("contract/backends/"));
  expect(strangers).toEqual([]);
});

test("the command line loads serve and ctl only when they are asked for", () => {
  const main = imports.filter(({ file }) => file === "main.ts");
  expect(main.filter(({ lazy }) => !lazy).map(({ to }) => to)).toEqual([
    "commander",
    "./command-line.ts",
    "./version.ts",
  ]);
  expect(
    main.filter(({ lazy }) => lazy).map(({ to }) => roomOf(target({ file: "main.ts", to, lazy: true }))),
  ).toContain("server");
});

test("nothing imports the command line", () => {
  expect(imports.filter((one) => target(one) === "main.ts")).toEqual([]);
});

test("every form of import is seen", () => {
  const source = [
    'import a from "a";',
    'import type { B } from "b";',
    'import {\n  c,\n  type D,\n} from "c";',
    'export * from "d";',
    'export { e } from "e";',
    'import "f";',
    'import g from "g" with { type: "file" };',
    'const h = await import("h");',
    '// import i from "i";',
    '/* import j from "j"; */',
    'const text = "no import";',
  ].join("\n");
  expect(importsOf("x.ts", source).map(({ to }) => to)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
});

test.each([
  [{ file: "contract/x.ts", to: "../logs/ring.ts" }, "contract/x.ts imports logs/ring.ts"],
  [{ file: "logs/x.ts", to: "../store/records.ts" }, "logs/x.ts imports store/records.ts"],
  [{ file: "backends/x.ts", to: "../supervisor/run.ts" }, "backends/x.ts imports supervisor/run.ts"],
  [{ file: "supervisor/x.ts", to: "../server/app.ts" }, "supervisor/x.ts imports server/app.ts"],
  [{ file: "ctl/x.ts", to: "../server/app.ts" }, "ctl/x.ts imports server/app.ts"],
  [{ file: "contract/x.ts", to: "hono" }, "contract/x.ts imports hono"],
  [{ file: "server/routes/x.ts", to: "../../supervisor/run.ts" }, null],
  [{ file: "logs/x.ts", to: "./ring.ts" }, null],
])("the rule: %j", (one, expected) => {
  expect(fault({ ...one, lazy: false })).toBe(expected);
});
