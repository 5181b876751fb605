/** `host:port` as a URL has it: the colons of an IPv6 address stand in brackets. */
export const addressOf = (host: string, port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;
