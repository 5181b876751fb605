import type { z } from "zod";

/** What is wrong with an answer or a frame, in our words. @param whole what is named where the whole is wrong */
export const issueWords = (issues: readonly z.core.$ZodIssue[], whole: string): string => {
  const [issue] = issues;
  const place = issue?.path.map(String).join(".") || whole;
  if (issue?.code !== "invalid_type") return `${place}: it is not what it should be`;
  return `${place}: it should be of the type ${issue.expected}`;
};
