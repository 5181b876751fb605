import { usageError } from "./errors.ts";

/** Patterns that a person gives, and what is wrong with one in our words: the engine's speak of its own grammar. */

const PROBLEMS: readonly [RegExp, string][] = [
  [/terminating \]/, "a '[' has no ']' behind it"],
  [/terminating \)|missing \)/, "a '(' has no ')' behind it"],
  [/unmatched (?:parentheses|\))/, "a ')' has no '(' before it"],
  [/nothing to repeat/, "'*', '+', '?' or '{…}' stands behind nothing that it could repeat"],
  [/out of order in \{\}/, "of the two numbers in '{…}' the first is greater"],
  [/out of order in character class|range out of order/, "of the two ends of a range in '[…]' the first is greater"],
  [/\\ at end/, "a backslash at the end has nothing behind it"],
  [/duplicate group/, "two groups have the same name"],
  [/group specifier name/, "the name of a group is not complete, or no name"],
  [/character after \(\?/, "what stands behind '(?' is no kind of group"],
];

/** @throws usage error that says what is wrong with it */
export const patternOf = (text: string, ignoreCase: boolean): RegExp => {
  try {
    return new RegExp(text, ignoreCase ? "i" : "");
  } catch (error) {
    // The pattern itself may hold any of these words.
    const engine = (error as Error).message.replace(text, "");
    const found = PROBLEMS.find(([known]) => known.test(engine))?.[1];
    throw usageError(
      `--grep '${text}' is no regular expression${found === undefined ? "" : `: ${found}`}`,
      "put a backslash before a character that is meant as it is",
    );
  }
};
