import { describe, expect, it } from "vitest";
import { readConfig } from "../../src/config/config.ts";
import { describeS3, parseS3Url } from "../../src/s3/target.ts";

const faultOf = (text: string): string => {
  try {
    parseS3Url(text);
    return "";
  } catch (error) {
    return String(error);
  }
};

describe("LARDER_S3", () => {
  it.each([
    ["s3://files", { bucket: "files", prefix: "", endpoint: undefined, region: undefined, pathStyle: false }],
    [
      "s3://files/a/b/?region=eu-central-1",
      { bucket: "files", prefix: "a/b", endpoint: undefined, region: "eu-central-1", pathStyle: false },
    ],
    [
      "s3://files?endpoint=http://minio:9000/",
      { bucket: "files", prefix: "", endpoint: "http://minio:9000", region: undefined, pathStyle: true },
    ],
    [
      "s3://files?endpoint=https://s3.corp&path-style=0",
      { bucket: "files", prefix: "", endpoint: "https://s3.corp", region: undefined, pathStyle: false },
    ],
  ])("%s", (text, target) => {
    expect(parseS3Url(text)).toEqual(target);
    expect(parseS3Url(describeS3(target))).toEqual(target);
  });

  it.each([
    "files",
    "https://files",
    "s3://",
    "s3://F",
    "s3://files?endpoint=nowhere",
    "s3://files?endpoint=ftp://h",
    "s3://files?path-style=yes",
    "s3://files?secret=hunter2",
    "s3://key:hunter2@files",
    "s3://files?endpoint=https://key:hunter2@h",
  ])("refuses %s, and repeats no secret", (text) => {
    const fault = faultOf(text);
    expect(fault).toContain("ConfigError");
    expect(fault).not.toContain("hunter2");
  });

  it("is needed by LARDER_S3_REDIRECT", () => {
    expect(() => readConfig({ LARDER_S3_REDIRECT: "1" })).toThrow(/LARDER_S3_REDIRECT.*set LARDER_S3/);
  });
});
