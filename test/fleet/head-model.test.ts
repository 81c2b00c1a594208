import { describe, expect, it } from "vitest";
import { isFenced, mayApply, mergeHead, staysAbove } from "../../src/store/change-rules.ts";
import { type Loaded, settle } from "../../src/cache/settle.ts";
import type { Entry, Head } from "../../src/store/store.ts";

// A search through all that two nodes and an upstream can do between them, in any order: take the lease and ask, lose
// the lease without noticing, hear the answer, decide, write, be refused and decide again. Upstream changes its answer
// meanwhile: sometimes with its serial, sometimes without. The rules are the ones that are used: settle.ts, change-rules.ts.

/** What upstream answers, one after the other: equal serials do not prove equal bodies. */
const ANSWERS = [
  { generation: 5, body: "a" },
  { generation: 5, body: "b" },
  { generation: 6, body: "c" },
  { generation: 6, body: "d" },
];

interface Node {
  readonly token: number;
  /** Which of upstream's answers it was given. */
  readonly answer: number;
  readonly head: Head | undefined;
  readonly held: Entry | undefined;
}

interface State {
  readonly upstream: number;
  readonly tokens: number;
  readonly lease: number | undefined;
  readonly nodes: readonly (Node | undefined)[];
  readonly head: Head | undefined;
  readonly entry: Entry | undefined;
  readonly asks: number;
}

const START: State = {
  upstream: 0,
  tokens: 0,
  lease: undefined,
  nodes: [undefined, undefined],
  head: undefined,
  entry: undefined,
  asks: 0,
};
const MOST_ASKS = 4;

function loadedOf(answer: number, token: number): Loaded {
  const { generation, body } = ANSWERS[answer]!;
  return {
    kind: "response",
    generation,
    confirmedAt: token,
    etag: `"${body}"`,
    date: "",
    contentType: "",
    coding: "identity",
    digest: body,
    body: Buffer.from(body),
    ownName: undefined,
  };
}

function withNode(state: State, which: number, node: Node | undefined, more: Partial<State> = {}): State {
  return { ...state, ...more, nodes: state.nodes.map((each, i) => (i === which ? node : each)) };
}

/** What the store does with a change, as embedded-change.ts and redis-scripts.ts do. */
function write(state: State, which: number, node: Node): State {
  const { head, entry } = settle(loadedOf(node.answer, node.token), {
    group: "g",
    name: "n",
    head: node.head,
    held: node.held,
    now: node.token,
    lowerAfterMs: 1_000_000,
    fence: node.token,
  });
  const lease = state.lease === node.token ? undefined : state.lease;
  const isTooLate = entry !== undefined && state.entry !== undefined && isFenced(state.entry, entry);
  if (isTooLate) return withNode(state, which, undefined, { lease }); // theirs is served
  if (!mayApply(state.head, { basis: node.head?.generation ?? 0, head })) {
    return withNode(state, which, { ...node, head: state.head, held: state.entry }); // decided again
  }
  const keeps =
    entry === undefined || (state.entry !== undefined && staysAbove(state.entry, entry, head.generation));
  const stored = { head: mergeHead(state.head, head), entry: keeps ? state.entry : entry };
  return withNode(state, which, undefined, { lease, ...stored });
}

function next(state: State): State[] {
  const states: State[] = [];
  if (state.upstream + 1 < ANSWERS.length) states.push({ ...state, upstream: state.upstream + 1 });
  if (state.lease !== undefined) states.push({ ...state, lease: undefined }); // ran out; its holder does not know
  state.nodes.forEach((node, which) => {
    if (node !== undefined) {
      states.push(write(state, which, node));
      states.push(withNode(state, which, undefined)); // killed; its lease runs out some time
    } else if (state.lease === undefined && state.asks < MOST_ASKS) {
      const token = state.tokens + 1;
      const asking = { token, answer: state.upstream, head: state.head, held: state.entry };
      states.push(withNode(state, which, asking, { tokens: token, lease: token, asks: state.asks + 1 }));
    }
  });
  return states;
}

const answerOf = (entry: Entry | undefined): number =>
  ANSWERS.findIndex(({ body }) => body === entry?.digest);

describe("two nodes, an upstream that changes, leases that are lost", () => {
  it("never put an older answer in the place of a newer one, nor lower the head, in whatever order they act", () => {
    const seen = new Set<string>();
    const open = [START];
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      const key = JSON.stringify(state);
      if (seen.has(key)) continue;
      seen.add(key);
      for (const after of next(state)) {
        expect(answerOf(after.entry), key).toBeGreaterThanOrEqual(answerOf(state.entry));
        expect(after.head?.generation ?? 0, key).toBeGreaterThanOrEqual(state.head?.generation ?? 0);
        expect(after.entry?.generation ?? 0, key).toBeLessThanOrEqual(after.head?.generation ?? 0);
        open.push(after);
      }
    }
    expect(seen.size).toBeGreaterThan(5_000);
  });
});
