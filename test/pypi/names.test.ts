import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isVersion, maySpellOneVersion, normalizeProject } from "../../src/pypi/names.ts";

describe("normalizeProject", () => {
  it.each([
    ["Django", "django"],
    ["D.jango", "d-jango"],
    ["zope.interface", "zope-interface"],
    ["a__b--c..d", "a-b-c-d"],
    ["ruamel.yaml", "ruamel-yaml"],
    ["A", "a"],
    ["1", "1"],
  ])("reads %s as %s", (spelling, project) => {
    expect(normalizeProject(spelling)).toBe(project);
  });

  it.each(["", "-a", "a-", ".a", "a_", "a b", "a/b", "..", "a\u0000", "é", "a%2Fb", "a".repeat(300)])(
    "knows that no project can be named %s",
    (spelling) => {
      expect(normalizeProject(spelling)).toBeUndefined();
    },
  );

  it("gives every spelling of a name one form, and that form itself", () => {
    const separator = fc.constantFrom("-", "_", ".", "--", "_.", "-._");
    const word = fc.stringMatching(/^[a-zA-Z0-9]{1,5}$/);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(word, separator), { minLength: 1, maxLength: 4 }),
        word,
        (parts, last) => {
          const spelling = parts.map(([each, between]) => each + between).join("") + last;
          const plain = [...parts.map(([each]) => each), last].join("-").toLowerCase();
          expect(normalizeProject(spelling)).toBe(plain);
          expect(normalizeProject(plain)).toBe(plain);
        },
      ),
    );
  });
});

describe("isVersion", () => {
  it.each([
    "1.0",
    "1!2.0.post1.dev2+local.1",
    "0.7.4.svn.r2010",
    "3.1.26-1",
    "1.8c1",
    "2015.06",
    "v1.0",
    "1.0 beta",
  ])("takes %s, as PyPI has had such", (version) => {
    expect(isVersion(version)).toBe(true);
  });

  it.each(["", ".", "..", "1/0", "1\\0", "1\u0000", "1?x", "1#x", "é", "a".repeat(200), '1"', "<1>"])(
    "refuses %s",
    (version) => {
      expect(isVersion(version)).toBe(false);
    },
  );
});

describe("maySpellOneVersion", () => {
  it.each([
    ["1.0", "1.0.0"],
    ["1.0", "v1"],
    ["1.0a0", "1.0-alpha"],
    ["1.0rc1", "1.0.C1"],
    ["1.0.post0", "1.0-post"],
    ["1.0-1", "1.0.post1"],
    ["0!1.0", "1"],
    ["1.0.dev0", "1.0dev"],
    ["0.12.1", "0.12.01"],
    ["1.0+Ubuntu-1", "1+ubuntu.1"],
  ])("may join %s and %s", (one, other) => {
    expect(maySpellOneVersion(one, other)).toBe(true);
  });

  it.each([
    ["1.0", "1.1"],
    ["1.0", "1.0a0"],
    ["1.0", "10"],
    ["1.0.post1", "1.0.dev1"],
    ["1.0+a", "1.0"],
    ["1!1.0", "1.0"],
    ["0.7.4.svn.r2010", "0.7.4.svn.r201"],
    ["1.0-x-y-z", "1.0"],
    ["", "0"],
  ])("never joins %s and %s", (one, other) => {
    expect(maySpellOneVersion(one, other)).toBe(false);
  });
});
