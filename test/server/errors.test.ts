import { expect, test } from "bun:test";
import { answerFault } from "../../src/server/errors.ts";

test("an uncaught fault is an error like all others, and is told without what the client sent", async () => {
  const reported: Error[] = [];
  const fault = new TypeError('"/anything?api_key=TOPSECRET" cannot be parsed as a URL.');
  const answer = answerFault(fault, (error) => void reported.push(error));
  expect([answer.status, await answer.json()]).toEqual([500, { detail: "Internal Server Error" }]);
  expect(answer.headers.get("content-type")).toStartWith("application/json");
  expect(reported.map(({ message }) => message)).toEqual(["TypeError while a request was answered"]);
  expect(reported[0]?.stack).toContain("errors.test.ts");
  expect(reported[0]?.stack).not.toContain("TOPSECRET");
});
