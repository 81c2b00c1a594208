import type { Clock, EpochMs, Ms } from "../clock.ts";
import { StoreUnavailable } from "../errors.ts";
import { transferMs } from "./budget.ts";
import { decodeEntry, encodeEntry } from "./entry-json.ts";
import { createRedisClient, type RedisClient } from "../redis/client.ts";
import { entryKey, FEED_KEY, groupKeys } from "./redis-keys.ts";
import { REDIS_SCRIPTS } from "./redis-scripts.ts";
import { describeRedis, type RedisTarget } from "../redis/url.ts";
import type { Change, Entry, FeedPosition, Found, Head, Store, StoreSize, Written } from "./store.ts";
import type { OnSurvived } from "./survived.ts";

/** Which Redis the store is in, and how it is treated. */
export interface RedisStoreOptions {
  readonly target: RedisTarget;
  /** Another CA to trust beside the usual ones (PEM), for `rediss://`. */
  readonly caPem?: string | undefined;
  readonly clock: Clock;
  /** What a call may take; here only a backstop, see `guard`. */
  readonly budgetMs: Ms;
  /** What is neither read nor written for so long is forgotten. */
  readonly expireAfterMs: Ms;
  readonly onSurvived: OnSurvived;
}

/** A store in Redis, and whether there is a connection to it. */
export interface RedisStore extends Store {
  /** Resolves as soon as there is a connection: at the start, for whoever wants to wait for it a little. */
  connected(): Promise<void>;
}

/** The largest body that the backstop of a command is laid out for. */
const LARGEST_BODY_BYTES = 128 * 1024 * 1024;
/** A script's arguments stay well below Lua's limit on `unpack` (8,000). */
const KEYS_PER_CALL = 500;
/** Heads that are raised at a time: some 10 ms of Redis', and of the loop's, time. */
const GROUPS_PER_ROUND = 500;
/** Other processes may be writing to a group that is being removed; for longer than this they are not late but new. */
const REMOVE_ROUNDS = 100;

/**
 * Opens the store that a fleet shares, in a standalone Redis, one behind Sentinel, or a Cluster. Returns at once, and
 * connects in the background, for ever; until then, and whenever there is no connection, each method throws.
 *
 * Redis evicts and expires as it is configured to, key by key; whatever goes, what is left is still correct: an entry
 * without its head has no head, an entry without its index (see redis-keys.ts) is a miss.
 *
 * All methods throw StoreUnavailable on trouble. Its message has what Redis said; the command, whose arguments may be
 * a password or a body, is not kept.
 */
export function openRedisStore(options: RedisStoreOptions): RedisStore {
  // A backstop: the budget of each call is the guard's (guarded.ts), which knows how much is to be moved.
  const commandTimeoutMs = options.budgetMs + transferMs(LARGEST_BODY_BYTES);
  const { target, caPem } = options;
  return new RedisDocuments(
    options,
    createRedisClient({ target, caPem, commandTimeoutMs, scripts: REDIS_SCRIPTS }),
  );
}

class RedisDocuments implements RedisStore {
  readonly #options: RedisStoreOptions;
  readonly #client: RedisClient;
  readonly #where: string;
  #lostAt: EpochMs | undefined;

  constructor(options: RedisStoreOptions, client: RedisClient) {
    this.#options = options;
    this.#client = client;
    this.#where = describeRedis(options.target);
    client.on("error", (error: unknown) => this.#onError(error));
    client.on("ready", () => (this.#lostAt = undefined));
    client.connect().catch((error: unknown) => this.#onError(error));
  }

  connected(): Promise<void> {
    if (this.#client.status === "ready") return Promise.resolve();
    return new Promise((resolve) => this.#client.once("ready", resolve));
  }

  async read(group: string, name: string): Promise<Found> {
    const { head, names } = groupKeys(group);
    const { expireAfterMs } = this.#options;
    const reply = await this.#ask("read", () =>
      this.#client.larderRead(head, names, entryKey(group, name), name, expireAfterMs),
    );
    if (!Array.isArray(reply)) throw new StoreUnavailable(`${this.#where}: an odd reply to a read`);
    const parts: readonly unknown[] = reply;
    const [fields, json] = parts;
    return {
      head: decodeHead(fields),
      entry: typeof json === "string" ? decodeEntry(json, group, name) : undefined,
    };
  }

  async readBody(entry: Entry): Promise<Buffer | undefined> {
    if (entry.digest === "") return undefined;
    const body = await this.#ask("read a body", () =>
      this.#client.larderReadBodyBuffer(entryKey(entry.group, entry.name), entry.digest),
    );
    return Buffer.isBuffer(body) && body.length === entry.bytes ? body : undefined;
  }

  async write(change: Change): Promise<Written> {
    const { group, head, basis, entry, body } = change;
    const keys = groupKeys(group);
    const values = [
      this.#options.expireAfterMs,
      basis,
      head.generation,
      head.advancedAt,
      head.confirmedAt,
      head.invalidatedAt,
      head.lowerSince,
    ];
    const reply = await this.#ask("write", () => {
      if (entry === undefined) return this.#client.larderWriteHead(keys.head, ...values);
      const { name, generation } = entry;
      const entryValues = [name, generation, encodeEntry(entry), ...(body === undefined ? [] : [body])];
      return this.#client.larderWrite(
        keys.head,
        keys.names,
        entryKey(group, name),
        ...values,
        ...entryValues,
      );
    });
    return reply === "written" ? "written" : "refused";
  }

  async touch(entries: Iterable<{ readonly group: string; readonly name: string }>): Promise<void> {
    const keysByGroup = new Map<string, string[]>();
    for (const { group, name } of entries) {
      const { head, names } = groupKeys(group);
      const keys = keysByGroup.get(group) ?? [head, names];
      keysByGroup.set(group, keys);
      keys.push(entryKey(group, name));
    }
    // One call for each group, since a group is what shares a slot; all written to the socket in one go.
    const calls = [...keysByGroup.values()]
      .flatMap((keys) => inParts(keys))
      .map((keys) => this.#touchKeys(keys));
    await Promise.all(calls);
  }

  #touchKeys(keys: readonly string[]): Promise<unknown> {
    return this.#ask("touch", () =>
      this.#client.larderTouch(keys.length, ...keys, this.#options.expireAfterMs),
    );
  }

  async remove(group: string): Promise<void> {
    const { head, names } = groupKeys(group);
    for (let round = 0; round < REMOVE_ROUNDS; round += 1) {
      const members = await this.#ask("remove", () => this.#client.smembers(names));
      const part = members.slice(0, KEYS_PER_CALL);
      const keys = [head, names, ...part.map((name) => entryKey(group, name))];
      const left = await this.#ask("remove", () => this.#client.larderRemove(keys.length, ...keys, ...part));
      if (left === 0) return;
    }
  }

  async advance(groups: ReadonlyMap<string, number>, at: EpochMs): Promise<void> {
    const marks = [...groups];
    for (let from = 0; from < marks.length; from += GROUPS_PER_ROUND) {
      // One call for each group, as a group is what shares a slot; all of a round written to the socket in one go.
      const round = marks.slice(from, from + GROUPS_PER_ROUND);
      await this.#ask("advance", () =>
        Promise.all(round.map(([group, generation]) => this.#advanceOne(group, generation, at))),
      );
    }
  }

  #advanceOne(group: string, generation: number, at: EpochMs): Promise<unknown> {
    const { head, names } = groupKeys(group);
    return this.#client.larderAdvance(head, names, generation, at, this.#options.expireAfterMs);
  }

  async readFeed(): Promise<FeedPosition | undefined> {
    const fields = await this.#ask("read the feed's position", () =>
      this.#client.hmget(FEED_KEY, "serial", "asOf", "followedSince", "fence"),
    );
    const [serial, asOf, followedSince, fence] = fields.map(toNumber);
    if (serial === undefined || asOf === undefined || followedSince === undefined || fence === undefined) {
      return undefined;
    }
    return { serial, asOf, followedSince, fence };
  }

  async writeFeed({ serial, asOf, followedSince, fence }: FeedPosition): Promise<Written> {
    const { expireAfterMs } = this.#options;
    const reply = await this.#ask("write the feed's position", () =>
      this.#client.larderWriteFeed(FEED_KEY, expireAfterMs, serial, asOf, followedSince, fence),
    );
    return reply === "written" ? "written" : "refused";
  }

  /** An estimate: all keys of the database (about two thirds of them are heads and indexes), and Redis' own memory. */
  async size(): Promise<StoreSize> {
    const nodes = "nodes" in this.#client ? this.#client.nodes("master") : [this.#client];
    const sizes = await this.#ask("size", () =>
      Promise.all(nodes.map((node) => Promise.all([node.dbsize(), node.info("memory")]))),
    );
    return {
      entries: sizes.reduce((sum, [keys]) => sum + keys, 0),
      bytes: sizes.reduce((sum, [, memory]) => sum + usedMemory(memory), 0),
    };
  }

  close(): void {
    this.#client.disconnect();
  }

  async #ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new StoreUnavailable(`${this.#where}: ${what}: ${messageOf(error)}`);
    }
  }

  /** Tells of a lost connection once, not with each attempt to get it back. */
  #onError(error: unknown): void {
    if (this.#lostAt !== undefined || this.#client.status === "ready") return;
    this.#lostAt = this.#options.clock.now();
    this.#options.onSurvived("store: connection", this.#where, new StoreUnavailable(messageOf(error)));
  }
}

/** What ioredis says, without the command that it hangs onto its errors. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  return error instanceof Error ? error.message : "unknown trouble";
}

function decodeHead(fields: unknown): Head | undefined {
  if (!Array.isArray(fields)) return undefined;
  const [generation, advancedAt, confirmedAt, invalidatedAt, lowerSince] = fields.map(toNumber);
  if (
    generation === undefined ||
    advancedAt === undefined ||
    confirmedAt === undefined ||
    invalidatedAt === undefined ||
    lowerSince === undefined
  ) {
    return undefined;
  }
  return { generation, advancedAt, confirmedAt, invalidatedAt, lowerSince };
}

function toNumber(text: unknown): number | undefined {
  const value = typeof text === "string" ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

function usedMemory(info: string): number {
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0);
}

function inParts(keys: readonly string[]): readonly (readonly string[])[] {
  return Array.from({ length: Math.ceil(keys.length / KEYS_PER_CALL) }, (_, i) =>
    keys.slice(i * KEYS_PER_CALL, (i + 1) * KEYS_PER_CALL),
  );
}
