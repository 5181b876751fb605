import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.ts";

/** What the shipped model answers at temperature 0. */

interface Expected {
  messages: { role: string; content: string }[];
  answer: string;
  prompt_tokens: number;
  /** The end token counts. */
  completion_tokens: number;
}

/** The known answer to one question that nothing went before. */
export const expectedAnswer = (question: string): Expected => {
  const { chat } = JSON.parse(readFileSync(join(root, "test/fixtures/models/expected.json"), "utf8")) as {
    chat: Expected[];
  };
  const found = chat.find(({ messages }) => messages.length === 1 && messages[0]?.content === question);
  if (found === undefined) throw new Error(`no answer is known to '${question}'`);
  return found;
};
