/** What a model server can do for its clients. */

/** Each has one path of its HTTP interface. */
const paths = {
  chat: "/v1/chat/completions",
  completion: "/v1/completions",
  classify: "/v1/classify",
} as const;

export type Capability = keyof typeof paths;

export interface Capabilities {
  can: readonly Capability[];
  /** Paths that it answers, as `supported_endpoints` tells them. */
  endpoints: readonly string[];
}

/** @param others paths that it answers beside those of what it can do */
export const capable = (can: readonly Capability[], others: readonly string[]): Capabilities => ({
  can,
  endpoints: [...can.map((one) => paths[one]), ...others],
});
