/** Reads the JUnit reports that bun and pytest write. */

export interface Report {
  passed: number;
  failed: number;
  skipped: number;
  /** `file > name` of each test that failed. */
  failures: string[];
}

const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

const decode = (text: string): string =>
  text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return entities[name] ?? whole;
  });

const attribute = (tag: string, name: string): string =>
  decode(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? "");

const nameOf = (tag: string): string =>
  [attribute(tag, "file"), attribute(tag, "classname"), attribute(tag, "name")]
    .filter((part) => part !== "")
    .join(" > ");

export const parseJunit = (xml: string): Report => {
  const report: Report = { passed: 0, failed: 0, skipped: 0, failures: [] };
  for (const [, tag = "", empty, content = ""] of xml.matchAll(
    /<testcase((?:\s[\w:.-]+="[^"]*")*)\s*(?:(\/)>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    if (empty === undefined && /<(?:failure|error)\b/.test(content)) {
      report.failed += 1;
      report.failures.push(nameOf(tag));
    } else if (empty === undefined && /<skipped\b/.test(content)) {
      report.skipped += 1;
    } else {
      report.passed += 1;
    }
  }
  return report;
};
