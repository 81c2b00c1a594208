/** The bytes are not exactly one HTML page of links as the Simple API has it (PEP 503). */
export class NotHtml extends Error {
  override readonly name = "NotHtml";
  /** Where the page turned out to be none; the length of the bytes where that was at their end. */
  readonly offset: number;

  constructor(offset: number, reason: string) {
    super(`not a page of links: ${reason}, at byte ${offset}`);
    this.offset = offset;
  }
}
