/** Which part of a file a body is. */
export interface ByteSpan {
  /** Where its first byte stands. */
  readonly startAt: number;
  /** Length of the whole file; undefined where it is not said. */
  readonly totalBytes: number | undefined;
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i;

/**
 * Reads the Content-Range of a 206 (RFC 9110 §14.4) that was asked for from some byte to the end.
 *
 * @returns undefined where there is none, where it contradicts itself, or where it ends before the file does
 */
export function readContentRange(value: string | undefined): ByteSpan | undefined {
  const [, first, last, total] = CONTENT_RANGE.exec(value ?? "") ?? [];
  if (first === undefined || last === undefined || total === undefined) return undefined;
  const startAt = Number(first);
  if (Number(last) < startAt) return undefined;
  if (total === "*") return { startAt, totalBytes: undefined };
  return Number(last) === Number(total) - 1 ? { startAt, totalBytes: Number(total) } : undefined;
}
