/** Where a model server listens, and the URL that reaches it from this machine. Pure. */

export interface Endpoint {
  /** As it was told to listen: an address, without brackets, or a name. */
  host: string;
  port: number;
}

/** The address to connect to, without brackets: a server that listens everywhere is reached over loopback. */
export const reachableHost = (host: string): string => {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  return host === "::" ? "::1" : host;
};

/** `host:port` as a URL has it: the colons of an IPv6 address stand in brackets. */
export const addressOf = (host: string, port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** @param path begins with a slash, or is empty */
export const urlOf = ({ host, port }: Endpoint, path = ""): string =>
  `http://${addressOf(reachableHost(host), port)}${path}`;
