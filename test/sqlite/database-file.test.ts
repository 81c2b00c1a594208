import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  closeDatabase,
  type DatabaseFile,
  type DatabaseFileOptions,
  openDatabase,
} from "../../src/sqlite/database-file.ts";
import { TestClock } from "../support/clock.ts";
import { fill, HAS_SMALL_DISKS, mount, unmount } from "../support/small-disk.ts";

let directory: string;
let options: DatabaseFileOptions;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "larder-sqlite-"));
  options = {
    file: join(directory, "test.sqlite"),
    layout: {
      applicationId: 7,
      version: 1,
      formatPragmas: "PRAGMA journal_mode = WAL",
      schema: "CREATE TABLE word (text TEXT); INSERT INTO word VALUES ('kept')",
      connection: "PRAGMA synchronous = NORMAL",
    },
    clock: new TestClock(),
    onPutAside: (why, _, error) => {
      throw new Error(why, { cause: error });
    },
  };
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const wordOf = ({ db }: DatabaseFile) => db.prepare("SELECT text FROM word").get()?.["text"];

describe("a database that was closed", () => {
  it.skipIf(!HAS_SMALL_DISKS)("can be opened and read although the disk has filled since", () => {
    mount(directory, "1m");
    try {
      closeDatabase(options, openDatabase(options));
      fill(directory);
      const open = openDatabase(options);
      expect(wordOf(open)).toBe("kept");
      open.db.close();
    } finally {
      unmount(directory);
    }
  });

  it("has room beside it as long as it is closed, and only then", () => {
    const open = openDatabase(options);
    expect(readdirSync(directory)).not.toContain("test.sqlite.room");
    closeDatabase(options, open);
    expect(readdirSync(directory).sort()).toEqual(["test.sqlite", "test.sqlite.room"]);
    openDatabase(options).db.close();
    expect(readdirSync(directory)).toEqual(["test.sqlite"]);
  });
});
