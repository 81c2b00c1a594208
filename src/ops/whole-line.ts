/** What several processes may write to one pipe without getting into one another (pipe(7): PIPE_BUF on Linux). */
export const WHOLE_LINE_BYTES = 4_096;

// What a string is cut to, where a line is too long; then, if that was not enough.
const CUTS = [1_024, 256, 64];

/**
 * A line of JSON, its newline included, in at most `WHOLE_LINE_BYTES` bytes of ASCII, so that characters are bytes.
 * Long strings in it are cut where it is too long; if that does not help, only its first members are left.
 */
export function wholeLine(line: string): string {
  const ascii = toAscii(line);
  if (ascii.length <= WHOLE_LINE_BYTES) return ascii;
  const parsed: unknown = JSON.parse(line);
  for (const cut of CUTS) {
    const shorter = toAscii(`${JSON.stringify(parsed, (_, value: unknown) => cutTo(value, cut))}\n`);
    if (shorter.length <= WHOLE_LINE_BYTES) return shorter;
  }
  return firstMembers(parsed);
}

function cutTo(value: unknown, length: number): unknown {
  return typeof value === "string" && value.length > length ? `${value.slice(0, length)}…` : value;
}

function toAscii(line: string): string {
  return /[^\0-\x7f]/.test(line)
    ? line.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : line;
}

/** Level, time, whose line it is, and the message: whatever is a short value of its own. */
function firstMembers(parsed: unknown): string {
  const members = Object.entries(typeof parsed === "object" && parsed !== null ? parsed : {});
  const short = members
    .filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => [name.slice(0, 32), cutTo(value, 64)] as const);
  return toAscii(
    `${JSON.stringify({ ...Object.fromEntries(short.slice(0, 7)), msg: msgOf(parsed), cut: true })}\n`,
  );
}

function msgOf(parsed: unknown): unknown {
  return typeof parsed === "object" && parsed !== null && "msg" in parsed
    ? cutTo(parsed.msg, 256)
    : undefined;
}
