import { randomUUID } from "node:crypto";
import type { Clock, Ms } from "../clock.ts";
import { createRedisClient, type RedisClient } from "../redis/client.ts";
import type { RedisTarget } from "../redis/url.ts";
import { Circuit } from "../store/circuit.ts";
import type { OnSurvived } from "../store/survived.ts";
import { FLEET_SCRIPTS } from "./redis-scripts.ts";

export interface RedisLinkOptions {
  readonly target: RedisTarget;
  readonly caPem: string | undefined;
  /** What a call may take: beyond it this node goes on without. */
  readonly budgetMs: Ms;
  readonly clock: Clock;
  readonly onSurvived: OnSurvived;
}

const CHANNEL = "larder:1:news";

/**
 * A fleet's connections to Redis: one for commands, beside the store's so that no body holds a lease back, and one for
 * news. Redis in trouble is left alone for a second, and each call then gives undefined.
 */
export class RedisLink {
  /** Who this node is, to know its own news by. */
  readonly node = randomUUID();
  readonly #options: RedisLinkOptions;
  readonly #client: RedisClient;
  readonly #subscriber: RedisClient;
  readonly #circuit: Circuit;
  readonly #listeners = new Set<(message: unknown) => void>();

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    const { target, caPem, budgetMs, clock, onSurvived } = options;
    const connect = (): RedisClient => {
      const client = createRedisClient({ target, caPem, commandTimeoutMs: budgetMs, scripts: FLEET_SCRIPTS });
      // The store tells of a connection that is lost; here the calls tell, and news may be lost.
      client.on("error", () => undefined);
      client.connect().catch(() => undefined);
      return client;
    };
    this.#circuit = new Circuit("fleet", { clock, onSurvived });
    this.#client = connect();
    this.#subscriber = connect();
    // ioredis subscribes anew after each reconnection, but not where the first try failed.
    this.#subscriber.on("ready", () => void this.#subscriber.subscribe(CHANNEL).catch(() => undefined));
    this.#subscriber.on("message", (_channel: string, text: string) => this.#hear(text));
  }

  /** @returns undefined where Redis is in trouble */
  async ask<T>(key: string, work: (client: RedisClient) => Promise<T>): Promise<T | undefined> {
    const reply = this.#circuit.call<T | undefined>(
      this.#options.budgetMs,
      key,
      () => work(this.#client),
      undefined,
    );
    return await reply;
  }

  /** Tells all nodes, this one too. */
  tell(message: object): void {
    void this.ask("news", (client) => client.publish(CHANNEL, JSON.stringify(message)));
  }

  /** Gives a lease back, and tells all nodes of it in the same step. */
  async release(leaseKey: string, token: number, message: object): Promise<void> {
    await this.ask(leaseKey, (client) =>
      client.larderRelease(leaseKey, String(token), CHANNEL, JSON.stringify(message)),
    );
  }

  /** @returns how to hear no more */
  listen(listener: (message: unknown) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#client.disconnect();
    this.#subscriber.disconnect();
  }

  #hear(text: string): void {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return; // no news of ours
    }
    for (const listener of [...this.#listeners]) listener(message);
  }
}
