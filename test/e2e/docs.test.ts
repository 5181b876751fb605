import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { file } from "../../scripts/openapi.ts";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { root } from "../support/paths.ts";

/** /docs in a real browser: it needs nothing but the binary, and a call by hand works. */

const browserPath = (): string => {
  const found = ["chromium", "chromium-browser", "google-chrome"].map((name) => Bun.which(name)).find((path) => path);
  if (found === undefined || found === null) throw new Error("no chromium on PATH: ./scripts/test installs it");
  return found;
};

let daemon: TestDaemon;
let browser: Browser;
let context: BrowserContext;
let page: Page;
const requested: string[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  daemon = await TestDaemon.start();
  browser = await chromium.launch({
    executablePath: browserPath(),
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      // What would ask another host finds none.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
  context = await browser.newContext();
  page = await context.newPage();
  page.on("request", (request) => requested.push(request.url()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
});

afterAll(async () => {
  await browser?.close();
  await daemon?.[Symbol.asyncDispose]();
});

const operation = (name: string) => page.locator(`.opblock:has(.opblock-summary-path[data-path="${name}"])`);

/** Opens an operation and sends it as it stands; gives the status that the page shows. */
const tryOut = async (path: string, method = "get"): Promise<string> => {
  const block = operation(path).and(page.locator(`.opblock-${method}`));
  if ((await block.locator(".opblock-body").count()) === 0) await block.locator(".opblock-summary-control").click();
  // What an earlier call was answered would be taken for the answer to this one.
  const clear = block.locator("button.btn-clear");
  if ((await clear.count()) > 0) await clear.click();
  await block.locator("button.execute").click();
  const status = block.locator(".live-responses-table .response-col_status").last();
  await status.waitFor();
  return ((await status.textContent()) ?? "").trim().slice(0, 3);
};

test("the page renders, with each operation", async () => {
  await page.goto(`${daemon.url}/docs`);
  await page.locator(".opblock").first().waitFor();
  const described = JSON.parse(readFileSync(join(root, file), "utf8")) as { paths: Record<string, object> };
  const expected = Object.values(described.paths).flatMap((methods) => Object.keys(methods));
  expect(await page.locator(".opblock").count()).toBe(expected.length);
  expect(await page.title()).toBe("solar-host API");
  expect(await page.locator(".info .title").textContent()).toContain("solar-host");
});

test("the page has no box of servers or of a licence, and says how to open the WebSockets", async () => {
  await page.locator(".opblock").first().waitFor();
  expect(await page.locator(".servers, .scheme-container .servers-title, .info__license").count()).toBe(0);
  const text = (await page.locator(".info").textContent()) ?? "";
  expect(text).not.toContain("MIT");
  expect(text).toContain("Two WebSockets");
  for (const path of ["/instances/{id}/logs?after=&tail=", "/instances/{id}/state"]) expect(text).toContain(path);
});

test("what the service says of itself leads to the page", async () => {
  const { docs } = (await (await fetch(`${daemon.url}/`)).json()) as { docs: string };
  expect((await fetch(`${daemon.url}${docs}`)).headers.get("content-type")).toContain("text/html");
});

test("the binary serves the description that is checked in", async () => {
  const answer = await fetch(`${daemon.url}/openapi.json`);
  expect(await answer.json()).toEqual(JSON.parse(readFileSync(join(root, file), "utf8")));
});

test("a call without the key is answered 401", async () => {
  expect(await tryOut("/instances")).toBe("401");
});

test("Authorize takes the key, and a call answers 200", async () => {
  await page.locator("button.authorize").first().click();
  const form = page.locator(".auth-container", { hasText: "X-API-Key" });
  await form.locator("input").fill(KEY);
  await form.locator("button.authorize").click();
  await page.locator(".dialog-ux .btn-done, .dialog-ux .close-modal").first().click();
  expect(await tryOut("/instances")).toBe("200");
  expect(await tryOut("/memory")).toBe("200");
});

test("a config of the examples is created as it stands", async () => {
  expect(await tryOut("/instances", "post")).toBe("200");
  const { body } = await daemon.request<{ config: { alias: string } }[]>("GET", "/instances");
  expect(body.map(({ config }) => config.alias)).toEqual(["llama-3:8b"]);
});

test("the key is kept after a reload", async () => {
  await page.reload();
  await page.locator(".opblock").first().waitFor();
  expect(await tryOut("/instances")).toBe("200");
});

test("nothing was asked of another host, and the page has no errors", async () => {
  const others = requested.filter((url) => !url.startsWith(`${daemon.url}/`) && !/^(data|blob):/.test(url));
  expect(others).toEqual([]);
  expect(requested).toContain(`${daemon.url}/openapi.json`);
  // The call without a key.
  expect(complaints.filter((text) => !text.includes("401"))).toEqual([]);
  expect(requested.filter((url) => url.includes(KEY))).toEqual([]);
});
