// RFC 7693 in BigInt: slow (about 1 MB/s), small, and no relation of what larder checks files with. It writes the paths
// of the tests' packages; Node's own BLAKE2b cannot be told to give 256 bits.

const MASK = (1n << 64n) - 1n;
const BLOCK_BYTES = 128;
const DIGEST_BYTES = 32;

const IV: readonly bigint[] = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
];

// RFC 7693 §2.7; rounds 10 and 11 use the first two again.
const SIGMA: readonly (readonly number[])[] = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
].map((row) => Array.from(row, (digit) => parseInt(digit, 16)));

const COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** BLAKE2b-256 in hex: the name under which PyPI keeps a file (facts/pypi.md §3). */
export function blake2b256(bytes: Buffer): string {
  const state = [...IV];
  state[0]! ^= 0x01010000n ^ BigInt(DIGEST_BYTES);
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK_BYTES));
  for (let i = 0; i < blocks; i++) {
    const isLast = i === blocks - 1;
    const block = Buffer.alloc(BLOCK_BYTES);
    bytes.copy(block, 0, i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
    compress(state, block, BigInt(isLast ? bytes.length : (i + 1) * BLOCK_BYTES), isLast);
  }
  const digest = Buffer.alloc(64);
  state.forEach((word, i) => digest.writeBigUInt64LE(word, i * 8));
  return digest.subarray(0, DIGEST_BYTES).toString("hex");
}

function compress(state: bigint[], block: Buffer, counted: bigint, isLast: boolean): void {
  const words = Array.from({ length: 16 }, (_, i) => block.readBigUInt64LE(i * 8));
  const v = [...state, ...IV];
  v[12]! ^= counted;
  if (isLast) v[14]! ^= MASK;
  for (let round = 0; round < 12; round++) {
    const order = SIGMA[round % 10]!;
    COLUMNS_AND_DIAGONALS.forEach(([a, b, c, d], i) => {
      mix(v, a, b, c, d, words[order[2 * i]!]!, words[order[2 * i + 1]!]!);
    });
  }
  for (let i = 0; i < 8; i++) state[i]! ^= v[i]! ^ v[i + 8]!;
}

function mix(v: bigint[], a: number, b: number, c: number, d: number, x: bigint, y: bigint): void {
  v[a] = (v[a]! + v[b]! + x) & MASK;
  v[d] = rotated(v[d]! ^ v[a], 32n);
  v[c] = (v[c]! + v[d]) & MASK;
  v[b] = rotated(v[b]! ^ v[c], 24n);
  v[a] = (v[a] + v[b] + y) & MASK;
  v[d] = rotated(v[d] ^ v[a], 16n);
  v[c] = (v[c] + v[d]) & MASK;
  v[b] = rotated(v[b] ^ v[c], 63n);
}

function rotated(word: bigint, by: bigint): bigint {
  return (word >> by) | ((word << (64n - by)) & MASK);
}
