/** Times as they travel. Pure. */

const TIMESTAMP = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?: ?Z|([+ -])(\d\d):?(\d\d))?)?$/i;

/**
 * Milliseconds since 1970 of an ISO timestamp, null where it is none. Without a zone it is UTC, which
 * is what Python's `utcnow().isoformat()` means. A "+" that a URL turned into a space is a "+".
 */
export const parseTimestamp = (text: string): number | null => {
  const match = TIMESTAMP.exec(text.trim());
  if (match === null) return null;
  const [, date, clock = "00:00", sign, hours, minutes] = match;
  const zone = sign === undefined ? "Z" : `${sign === "-" ? "-" : "+"}${hours}:${minutes}`;
  const time = Date.parse(`${date}T${clock}${zone}`);
  return Number.isNaN(time) ? null : time;
};
