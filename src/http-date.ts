import type { EpochMs } from "./clock.ts";

// RFC 9110 §5.6.7: what senders must generate. `Date.parse` alone takes "2024" and much else for a date.
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** The instant of an HTTP-date; undefined for anything but an IMF-fixdate (RFC 9110 §5.6.7). */
export function parseHttpDate(text: string): EpochMs | undefined {
  const at = IMF_FIXDATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}
