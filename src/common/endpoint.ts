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

/** @param path begins with a slash, or is empty */
export const urlOf = ({ host, port }: Endpoint, path = ""): string => {
  const hostname = reachableHost(host);
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}${path}`;
};
