import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { negotiateSimple, readFormat } from "../../src/pypi/simple-accept.ts";

const TEXT = "text/html";
const HTML = "application/vnd.pypi.simple.v1+html";
const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const LATEST_HTML = "application/vnd.pypi.simple.latest+html";
const LATEST_JSON = "application/vnd.pypi.simple.latest+json";

describe("negotiateSimple", () => {
  it.each([
    ["pip 22.2 and newer, pdm, renovate 44", `${JSON_TYPE}, ${HTML}; q=0.1, text/html; q=0.01`, JSON_TYPE],
    ["pip 20.3-22.1, old pipenv", "text/html", TEXT],
    ["uv", `${JSON_TYPE}, ${HTML};q=0.2, text/html;q=0.01`, JSON_TYPE],
    ["poetry, own source", `${JSON_TYPE}, */*;q=0.1`, JSON_TYPE],
    ["poetry, implicit source; bandersnatch", JSON_TYPE, JSON_TYPE],
    ["renovate 39", undefined, TEXT],
    ["pypi-simple: a tie", `${JSON_TYPE}, ${HTML}, text/html;q=0.01`, JSON_TYPE],
    ["pypi-simple, the other way round", `${HTML}, ${JSON_TYPE}, text/html;q=0.01`, JSON_TYPE],
    ["requests, curl, wget, pip-audit", "*/*", TEXT],
    ["renovate on the JSON API, and whoever mixes them up", "application/json", TEXT],
    ["recorded, 304", `${JSON_TYPE}, ${HTML}; q=0.1, text/html`, JSON_TYPE],
    ["Firefox", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT],
    ["Java", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", TEXT],
  ])("answers %s", (_, accept, type) => {
    expect(negotiateSimple(accept, undefined)).toBe(type);
  });

  it.each([
    ["", TEXT],
    [" , ,;;, ;q=1", TEXT],
    ["rubbish", TEXT],
    ["image/png", TEXT],
    ["text/*", TEXT],
    ["text/plain", TEXT],
    ["application/*", HTML],
    ["application/*, */*", HTML],
    ["application/*;q=0.5, text/html;q=0.4", HTML],
    ["application/*;q=0.4, text/html;q=0.5", TEXT],
    [LATEST_JSON, JSON_TYPE],
    [LATEST_HTML, HTML],
    [HTML, HTML],
    [JSON_TYPE.toUpperCase(), JSON_TYPE],
    ["TEXT/HTML;Q=0.1 , APPLICATION/VND.PYPI.SIMPLE.V1+HTML ; Q=0.2", HTML],
    [`${JSON_TYPE};charset=utf-8;q=0.9, text/html;q=0.8`, JSON_TYPE],
  ])("answers %j as the edge does", (accept, type) => {
    expect(negotiateSimple(accept, undefined)).toBe(type);
  });

  it.each([
    ["the higher weight", `${JSON_TYPE};q=0.4, text/html;q=0.5`, TEXT],
    ["a weight of three decimals", `${JSON_TYPE};q=0.001, ${HTML};q=0.002`, HTML],
    ["no JSON where its weight is 0", `${JSON_TYPE};q=0, text/html;q=0.1`, TEXT],
    ["no JSON by a wildcard where its weight is 0", `${JSON_TYPE};q=0.000, */*`, TEXT],
    ["no HTML of the versioned kind by a wildcard where its weight is 0", `${HTML};q=0, application/*`, TEXT],
    ["text/html though its weight is 0, for want of any other", "text/html;q=0", TEXT],
    ["one that has a weight before one of 0", `text/html;q=0, ${HTML};q=0.1`, HTML],
    ["what it says of a type, not of all", `text/html;q=0.1, ${JSON_TYPE};q=0.5, */*;q=0.9`, JSON_TYPE],
    ["the specific before the wildcard on a tie", "application/*, text/html", TEXT],
    ["the specific before the wildcard on a tie (2)", `text/*, ${HTML}`, HTML],
    ["JSON before */* on a tie", `*/*, ${JSON_TYPE}`, JSON_TYPE],
    ["JSON before text/html on a tie", `text/html, ${JSON_TYPE}`, JSON_TYPE],
    ["the higher of two weights of one type", `${JSON_TYPE};q=0.1, text/html;q=0.5, ${JSON_TYPE}`, JSON_TYPE],
    [
      "the higher of two weights, also where it comes first",
      `${JSON_TYPE}, text/html;q=0.5, ${JSON_TYPE};q=0.1`,
      JSON_TYPE,
    ],
    ["the higher of a type's two names", `${JSON_TYPE};q=0.1, text/html;q=0.5, ${LATEST_JSON}`, JSON_TYPE],
    ["nothing by a weight that is none", `${JSON_TYPE};q=2, ${HTML};q=-1, text/html;q=0.1`, TEXT],
    ["nothing by a weight that is no number", `${JSON_TYPE};q=high, ${HTML};q=, text/html;q=0.1`, TEXT],
  ])("takes %s", (_, accept, type) => {
    expect(negotiateSimple(accept, undefined)).toBe(type);
  });

  it.each([
    [TEXT, TEXT],
    [HTML, HTML],
    [JSON_TYPE, JSON_TYPE],
    [LATEST_HTML, HTML],
    [LATEST_JSON, JSON_TYPE],
  ])("lets format=%s win over any Accept", (format, type) => {
    for (const accept of [undefined, "*/*", JSON_TYPE, HTML, TEXT, `${format};q=0`]) {
      expect(negotiateSimple(accept, format)).toBe(type);
    }
  });

  it.each(["", "json", "application/json", "*/*", JSON_TYPE.toUpperCase(), ` ${TEXT}`, "application/*"])(
    "does not know format=%j",
    (format) => {
      expect(negotiateSimple(JSON_TYPE, format)).toBe(JSON_TYPE);
      expect(negotiateSimple(HTML, format)).toBe(HTML);
    },
  );

  const RANGES = [TEXT, HTML, JSON_TYPE, LATEST_HTML, LATEST_JSON, "text/*", "application/*", "*/*", "a/b"];
  const range = fc.constantFrom(...RANGES);
  const rubbish = fc.oneof(
    fc.string({ unit: "binary" }),
    fc
      .array(fc.oneof(range, fc.constantFrom(",", ";", "q=", "=", "0.5", "1", '"', " ", "\\"), fc.string()))
      .map((pieces) => pieces.join("")),
  );

  it("answers one of the three to anything, and never throws", () => {
    fc.assert(
      fc.property(
        fc.option(rubbish, { nil: undefined }),
        fc.option(rubbish, { nil: undefined }),
        (accept, format) => {
          expect([TEXT, HTML, JSON_TYPE]).toContain(negotiateSimple(accept, format));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  const weighted = fc.uniqueArray(fc.tuple(range, fc.integer({ min: 0, max: 1_000 })), {
    selector: ([name]) => name,
    maxLength: RANGES.length,
  });
  const field = (list: readonly (readonly [string, number])[]): string =>
    list.map(([name, weight]) => `${name};q=${(weight / 1_000).toFixed(3)}`).join(", ");

  it("does not mind in which order the ranges stand", () => {
    const shuffled = weighted.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        expect(negotiateSimple(field(one), undefined)).toBe(negotiateSimple(field(other), undefined));
      }),
      { numRuns: 2_000 },
    );
  });

  it("does not mind ranges that nothing on offer is in", () => {
    fc.assert(
      fc.property(weighted, fc.nat(), (list, at) => {
        const more = list.toSpliced(at % (list.length + 1), 0, ["image/png", 1_000]);
        expect(negotiateSimple(field(more), undefined)).toBe(negotiateSimple(field(list), undefined));
      }),
    );
  });

  it("answers JSON whenever no other range weighs more, and never where JSON weighs nothing", () => {
    fc.assert(
      fc.property(weighted, (list) => {
        const jsonWeights = list.filter(([name]) => name.endsWith("json")).map(([, weight]) => weight);
        const json = Math.max(0, ...jsonWeights);
        const others = list.filter(([name]) => !name.endsWith("json")).map(([, weight]) => weight);
        const type = negotiateSimple(field(list), undefined);
        if (json > 0 && json >= Math.max(0, ...others)) expect(type).toBe(JSON_TYPE);
        if (json === 0) expect(type).not.toBe(JSON_TYPE);
      }),
      { numRuns: 2_000 },
    );
  });

  it("reads a long field in no time", () => {
    const accept = `${"text/html;q=0.1,;;;,".repeat(100_000)}${JSON_TYPE}`;
    expect(negotiateSimple(accept, undefined)).toBe(JSON_TYPE);
  });
});

describe("readFormat", () => {
  it.each([
    ["format=text/html", TEXT],
    ["a=b&format=application/vnd.pypi.simple.v1+json", JSON_TYPE],
    ["format=application%2Fvnd.pypi.simple.v1%2bjson&format=text/html", JSON_TYPE],
    ["format=", ""],
    ["format=%zz%", "%zz%"],
    ["", undefined],
    ["formats=text/html&xformat=text/html", undefined],
  ])("reads %j", (query, format) => {
    expect(readFormat(query)).toBe(format);
  });
});
