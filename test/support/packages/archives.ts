import { crc32, deflateRawSync, gzipSync } from "node:zlib";

/** A file within an archive. */
export interface Member {
  /** With `/` between folders. */
  readonly name: string;
  readonly bytes: Buffer;
}

// 1980-01-01 00:00, the earliest that zip knows: the same archive gives the same bytes on any day.
const DOS_DATE = 0x0021;
const DOS_TIME = 0;
const UNIX_TIME = 315_532_800;

const DEFLATE = 8;
const UNIX_HOST = 3 << 8;
const ZIP_VERSION = 20;
const REGULAR_FILE = 0o100_644;

/** A zip whose bytes depend on its members alone (APPNOTE 4.3). */
export function zip(members: readonly Member[]): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let at = 0;
  for (const { name, bytes } of members) {
    const named = Buffer.from(name, "utf8");
    const packed = deflateRawSync(bytes, { level: 9 });
    const common = zipFields(bytes, packed, named);
    const head = Buffer.concat([uint32(0x04034b50), uint16(ZIP_VERSION), common, named]);
    local.push(head, packed);
    central.push(
      uint32(0x02014b50),
      uint16(UNIX_HOST | ZIP_VERSION),
      uint16(ZIP_VERSION),
      common,
      uint16(0), // no comment
      uint16(0), // the only disk
      uint16(0),
      uint32(REGULAR_FILE * 2 ** 16),
      uint32(at),
      named,
    );
    at += head.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const count = uint16(members.length);
  const end = [uint32(0x06054b50), uint32(0), count, count, uint32(directory.length), uint32(at), uint16(0)];
  return Buffer.concat([...local, directory, ...end]);
}

/** What the local head and the directory entry of a member have in common. */
function zipFields(bytes: Buffer, packed: Buffer, named: Buffer): Buffer {
  const sizes = [uint32(crc32(bytes)), uint32(packed.length), uint32(bytes.length)];
  const when = [uint16(DOS_TIME), uint16(DOS_DATE)];
  return Buffer.concat([uint16(0), uint16(DEFLATE), ...when, ...sizes, uint16(named.length), uint16(0)]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const TAR_BLOCK = 512;

/** A gzipped ustar whose bytes depend on its members alone (POSIX.1-1988). */
export function tarGz(members: readonly Member[]): Buffer {
  const blocks = members.flatMap(({ name, bytes }) => {
    const padding = Buffer.alloc((TAR_BLOCK - (bytes.length % TAR_BLOCK)) % TAR_BLOCK);
    return [tarHead(name, bytes.length), bytes, padding];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * TAR_BLOCK)]), { level: 9 });
}

function tarHead(name: string, length: number): Buffer {
  const head = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  head.write(name, 0, 100);
  head.write(octal(0o644, 7), 100);
  head.write(octal(0, 7), 108);
  head.write(octal(0, 7), 116);
  head.write(octal(length, 11), 124);
  head.write(octal(UNIX_TIME, 11), 136);
  head.write(" ".repeat(8), 148);
  head.write("0", 156);
  head.write("ustar\x0000", 257);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${octal(sum, 6)}\0 `, 148);
  return head;
}
