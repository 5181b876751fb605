import { expect, test } from "bun:test";
import { isOperation, pathOf, queryOf, routable } from "../../src/server/request-url.ts";

test("path and query are those that were sent, whatever stands for the host", () => {
  for (const host of ["http://x", "http://x:99999", "http://[::1", "http://[::1]:8001", ""]) {
    expect(pathOf(`${host}/a/b?c=/d#e`)).toBe("/a/b");
    expect(pathOf(`${host}/a%2fb#?c`)).toBe("/a%2fb");
    expect(pathOf(`${host}//a`)).toBe("//a");
    expect([...queryOf(`${host}/a?b=1&b=2?#c=3`)]).toEqual([
      ["b", "1"],
      ["b", "2?"],
    ]);
    expect([...queryOf(`${host}/a`)]).toEqual([]);
  }
  expect(pathOf("http://x")).toBe("/");
});

test("a request with a host is passed on as it is", () => {
  const request = new Request("http://x/a");
  expect(routable(request)).toBe(request);
});

test("an operation is told by its path, and not by what a query holds", () => {
  const paths = [
    "/instances/a/start",
    "/instances/a/stop?x",
    "/instances/a/restart?wait=5",
    "/instances/a%2fb/start#x",
  ];
  for (const path of paths)
    expect([path, isOperation(`http://x${path}`), isOperation(path)]).toEqual([path, true, true]);
  const others = [
    "/instances?/start",
    "/instances?a=/instances/a/start",
    "/instances/start",
    "/instances/a/logs?/stop",
  ];
  for (const path of others) expect([path, isOperation(`http://x${path}`)]).toEqual([path, false]);
  expect(isOperation("http://x/health#/instances/a/start")).toBe(false);
});
