import { expect, test } from "bun:test";
import { patternOf } from "../../src/ctl/pattern.ts";

const problem = (text: string): string => {
  try {
    patternOf(text, false);
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
};

test.each([
  ["[a", "a '[' has no ']' behind it"],
  ["(a", "a '(' has no ')' behind it"],
  ["(?:", "a '(' has no ')' behind it"],
  ["a)", "a ')' has no '(' before it"],
  ["*a", "'*', '+', '?' or '{…}' stands behind nothing that it could repeat"],
  ["a**", "'*', '+', '?' or '{…}' stands behind nothing that it could repeat"],
  ["a{3,1}", "of the two numbers in '{…}' the first is greater"],
  ["[z-a]", "of the two ends of a range in '[…]' the first is greater"],
  ["a\\", "a backslash at the end has nothing behind it"],
  ["(?z)", "what stands behind '(?' is no kind of group"],
  ["(?<a", "the name of a group is not complete, or no name"],
  ["(?<a>x)(?<a>y)", "two groups have the same name"],
  // A word of one problem in a pattern that has another.
  ["nothing to repeat [", "a '[' has no ']' behind it"],
])("the pattern %s is refused with what is wrong with it: %s", (text, words) => {
  expect(problem(text)).toBe(`--grep '${text}' is no regular expression: ${words}`);
});

test("a pattern that is one finds, and capital and small letters alike where that is asked for", () => {
  expect(patternOf("err(or)?$", false).test("an error")).toBe(true);
  expect([patternOf("ERR", false).test("an error"), patternOf("ERR", true).test("an error")]).toEqual([false, true]);
});
