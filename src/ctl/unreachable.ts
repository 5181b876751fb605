/** Why a daemon gives no answer, in words; fetch has codes of its own, of TLS and of the system. */

const certificate =
  /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|INVALID_PURPOSE/;

export const whyUnreachable = (error: unknown): string => {
  const { code = "unknown" } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "nothing listens there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "DNSException":
      return "the host name is not known";
    case "ConnectionClosed":
    case "ECONNRESET":
    case "EPIPE":
      return "the connection was closed";
    case "FailedToOpenSocket":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "there is no way to this host, or its name is not known";
    case "Timeout":
    case "ConnectionTimeout":
    case "ETIMEDOUT":
      return "it does not answer";
    case "CERT_HAS_EXPIRED":
      return "its certificate has expired";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "its certificate is for another name";
  }
  if (certificate.test(code)) return `its certificate is not trusted here (${code})`;
  if (/SSL|TLS|EPROTO/i.test(code)) return "it does not speak TLS there: is it http:// and not https://?";
  if (/HTTP|HPE|Malformed|Header|Zlib|Brotli/i.test(code)) return "what answers there does not speak HTTP";
  return `no connection (${code})`;
};
