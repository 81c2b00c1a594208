import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Connection } from "../../src/sqlite/connection.ts";
import { TestClock } from "../support/clock.ts";

let directory: string;
let file: string;
let aside: string[];
let left: number[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "larder-sqlite-"));
  file = join(directory, "test.sqlite");
  aside = [];
  left = [];
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function connect() {
  let made = 0;
  return new Connection({
    file,
    layout: {
      applicationId: 7,
      version: 1,
      formatPragmas: "PRAGMA journal_mode = WAL",
      schema: "CREATE TABLE word (text TEXT)",
      connection: "PRAGMA synchronous = NORMAL",
    },
    clock: new TestClock(),
    onPutAside: (why) => void aside.push(why),
    prepare: (db) => ({ number: made++, words: db.prepare("SELECT text FROM word ORDER BY text") }),
    onLeft: ({ number }) => void left.push(number),
  });
}

const add = (connection: ReturnType<typeof connect>, text: string) =>
  connection.query((_, db) => db.prepare("INSERT INTO word VALUES (?)").run(text));
const wordsIn = (connection: ReturnType<typeof connect>) =>
  connection.query(({ words }) => words.all()).map(({ text }) => text);

describe("a connection", () => {
  it("leaves a file that turns out to be corrupt for a fresh one, with all that was made of it", () => {
    const first = connect();
    for (let i = 0; i < 1_000; i++) add(first, "x".repeat(100));
    first.close();
    // Its first page is as it was: it can be opened.
    writeFileSync(file, readFileSync(file).fill(7, 4_096));
    const second = connect();
    expect(() => wordsIn(second)).toThrow();
    expect([aside, left]).toEqual([["corrupt"], [0]]);
    add(second, "new");
    expect(wordsIn(second)).toEqual(["new"]);
    second.close();
  });

  it("leaves a file that is not under its name any more", () => {
    const connection = connect();
    add(connection, "old");
    renameSync(file, join(directory, "elsewhere"));
    connection.leaveIfMoved();
    expect([wordsIn(connection), aside, left]).toEqual([[], [], [0]]);
    connection.leaveIfMoved();
    expect(left).toEqual([0]);
    connection.close();
  });

  it("opens nothing any more once it is closed", () => {
    const connection = connect();
    connection.close();
    expect(() => wordsIn(connection)).toThrow("closed");
    connection.leaveIfMoved();
    expect(readdirSync(directory).sort()).toEqual(["test.sqlite", "test.sqlite.room"]);
  });
});
