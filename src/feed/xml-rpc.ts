import { type Tag, tag, XmlCursor } from "./xml-cursor.ts";

/** The other side could not do what was asked (XML-RPC: `<fault>`); the HTTP status is 200 all the same. */
export interface Fault {
  readonly kind: "fault";
  readonly code: number;
  readonly message: string;
}

/** A whole number; XML-RPC has several names for it. */
const NUMBERS: readonly (readonly [Tag, Tag])[] = ["int", "i4", "i8"].map((name) => [
  tag(name),
  tag(`/${name}`),
]);
const METHOD_RESPONSE = tag("methodResponse");
const END_METHOD_RESPONSE = tag("/methodResponse");
const PARAMS = tag("params");
const END_PARAMS = tag("/params");
const PARAM = tag("param");
const END_PARAM = tag("/param");
const VALUE = tag("value");
const END_VALUE = tag("/value");
const STRING = tag("string");
const END_STRING = tag("/string");
const NO_STRING = tag("string/");
const NIL = tag("nil/");
const SPACED_NIL = tag("nil /");
const ARRAY = tag("array");
const END_ARRAY = tag("/array");
const DATA = tag("data");
const END_DATA = tag("/data");
const NO_DATA = tag("data/");
const FAULT = tag("fault");
const END_FAULT = tag("/fault");
const STRUCT = tag("struct");
const END_STRUCT = tag("/struct");
const MEMBER = tag("member");
const END_MEMBER = tag("/member");
const NAME = tag("name");
const END_NAME = tag("/name");

/** As many as a fault has, and some. */
const MAX_FAULT_MEMBERS = 8;

/** A call of one method with whole numbers, as the body of a request. */
export function methodCall(method: string, ...numbers: readonly number[]): string {
  const params = numbers.map((number) => `<param><value><int>${number}</int></value></param>`);
  return (
    `<?xml version='1.0'?>\n<methodCall><methodName>${method}</methodName>` +
    `<params>${params.join("")}</params></methodCall>\n`
  );
}

/**
 * Reads the answer to a call: its one value, or a fault.
 *
 * @param value reads the value; the cursor stands before its `<value>`. Yields as work in slices does.
 * @throws NotXmlRpc when the bytes are anything else
 */
export function* readResponse<T>(
  bytes: Buffer,
  value: (cursor: XmlCursor) => Generator<undefined, T>,
): Generator<undefined, T | Fault> {
  const cursor = new XmlCursor(bytes);
  cursor.skipDeclaration();
  cursor.expect(METHOD_RESPONSE);
  if (cursor.takes(FAULT)) {
    const fault = readFault(cursor);
    cursor.expect(END_FAULT);
    return end(cursor, fault);
  }
  cursor.expect(PARAMS);
  cursor.expect(PARAM);
  const found = yield* value(cursor);
  cursor.expect(END_PARAM);
  cursor.expect(END_PARAMS);
  return end(cursor, found);
}

function end<T>(cursor: XmlCursor, found: T): T {
  cursor.expect(END_METHOD_RESPONSE);
  cursor.expectEnd();
  return found;
}

/** Steps into an array. @returns false for one that has nothing in it, which is stepped over */
export function enterArray(cursor: XmlCursor): boolean {
  cursor.expect(VALUE);
  cursor.expect(ARRAY);
  if (cursor.takes(NO_DATA)) {
    cursor.expect(END_ARRAY);
    cursor.expect(END_VALUE);
    return false;
  }
  cursor.expect(DATA);
  return !leavesArray(cursor);
}

/** Steps out of an array, if it ends here. */
export function leavesArray(cursor: XmlCursor): boolean {
  if (!cursor.takes(END_DATA)) return false;
  cursor.expect(END_ARRAY);
  cursor.expect(END_VALUE);
  return true;
}

/** Reads a whole number that a JavaScript number holds exactly. */
export function readNumber(cursor: XmlCursor): number {
  cursor.expect(VALUE);
  const ends = NUMBERS.find(([begin]) => cursor.takes(begin))?.[1];
  if (ends === undefined) return cursor.fail("expected a whole number");
  const digits = cursor.text().trim();
  const number = /^-?\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(number)) return cursor.fail("expected a whole number");
  cursor.expect(ends);
  cursor.expect(END_VALUE);
  return number;
}

export function readString(cursor: XmlCursor): string {
  cursor.expect(VALUE);
  let text = "";
  if (cursor.takes(STRING)) {
    text = cursor.text();
    cursor.expect(END_STRING);
  } else if (!cursor.takes(NO_STRING)) {
    text = cursor.text(); // without a type it is a string
  }
  cursor.expect(END_VALUE);
  return text;
}

/** Steps over a string, a whole number or nothing, whichever comes. */
export function skipScalar(cursor: XmlCursor): void {
  cursor.expect(VALUE);
  if (cursor.takes(STRING)) {
    cursor.skipText();
    cursor.expect(END_STRING);
  } else if (!cursor.takes(NIL) && !cursor.takes(SPACED_NIL) && !cursor.takes(NO_STRING)) {
    const ends = NUMBERS.find(([begin]) => cursor.takes(begin))?.[1];
    cursor.skipText();
    if (ends !== undefined) cursor.expect(ends);
  }
  cursor.expect(END_VALUE);
}

function readFault(cursor: XmlCursor): Fault {
  let code = 0;
  let message = "";
  cursor.expect(VALUE);
  cursor.expect(STRUCT);
  for (let members = 0; cursor.takes(MEMBER); members++) {
    if (members === MAX_FAULT_MEMBERS) cursor.fail("a fault of too many parts");
    cursor.expect(NAME);
    const name = cursor.text();
    cursor.expect(END_NAME);
    if (name === "faultCode") code = readNumber(cursor);
    else if (name === "faultString") message = readString(cursor);
    else skipScalar(cursor);
    cursor.expect(END_MEMBER);
  }
  cursor.expect(END_STRUCT);
  cursor.expect(END_VALUE);
  return { kind: "fault", code, message };
}
