// Primary result codes of SQLite (sqlite.org/rescode.html); an extended code has its primary one in its lowest byte.
const BUSY = 5;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/** Another process is writing, or holds the lock: to be tried again soon. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === BUSY;
}

/** SQLite says that the file's content cannot be what it wrote. */
export function isCorrupt(error: unknown): boolean {
  const code = resultCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode & 0xff
    : undefined;
}
