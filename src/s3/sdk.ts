import type { S3Client } from "@aws-sdk/client-s3";
import { redactUserinfo } from "../redact.ts";
import type { S3Target } from "./target.ts";

/** The S3 SDK, and a client of one bucket. */
export interface Sdk {
  readonly client: S3Client;
  readonly s3: typeof import("@aws-sdk/client-s3");
  readonly presigner: typeof import("@aws-sdk/s3-request-presigner");
  readonly storage: typeof import("@aws-sdk/lib-storage");
}

// A bucket is near, or it is no use: upstream is asked instead of waiting for one.
const CONNECT_MS = 1_000;
// Within an upload too; a reader has shorter limits of his own.
const SILENCE_MS = 15_000;
const MOST_CONNECTIONS = 64;

/** Loads the SDK, which takes some 200 ms and tens of megabytes: only who has a bucket pays for it. */
export async function loadSdk({ endpoint, region, pathStyle }: S3Target): Promise<Sdk> {
  const [s3, presigner, storage] = await Promise.all([
    import("@aws-sdk/client-s3"),
    import("@aws-sdk/s3-request-presigner"),
    import("@aws-sdk/lib-storage"),
  ]);
  const client = new s3.S3Client({
    forcePathStyle: pathStyle,
    ...(endpoint !== undefined && { endpoint }),
    // A service of one's own has often none, and the signature needs one.
    ...((region ?? endpoint) !== undefined && { region: region ?? "us-east-1" }),
    maxAttempts: 2,
    // What is read is proved by the hash in its path, which says more than any checksum.
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      httpAgent: { maxSockets: MOST_CONNECTIONS },
      httpsAgent: { maxSockets: MOST_CONNECTIONS },
    },
  });
  return { client, s3, presigner, storage };
}

/** S3 failed. The SDK's own errors may hold key ids and what was signed, so only their words are kept. */
export class BucketTrouble extends Error {
  override readonly name = "BucketTrouble";
  /** Of the answer, where there was one. */
  readonly status: number | undefined;
  /** The object is not there. */
  readonly isMissing: boolean;

  constructor(message: string, status: number | undefined, isMissing: boolean) {
    super(message);
    this.status = status;
    this.isMissing = isMissing;
  }
}

/** What went wrong, in words that can be logged. */
export function troubleOf(error: unknown): BucketTrouble {
  if (!(error instanceof Error)) return new BucketTrouble("S3 failed", undefined, false);
  const status = statusOf(error);
  // A HEAD has no body that could say more than NotFound; of a bucket that is not there a GET says so.
  const isMissing = status === 404 && error.name !== "NoSuchBucket";
  const words = [error.name, ...(status === undefined ? [] : [String(status)]), error.message];
  return new BucketTrouble(redactUserinfo(words.join(" ")).slice(0, 300), status, isMissing);
}

function statusOf(error: Error): number | undefined {
  const metadata = "$metadata" in error ? error.$metadata : undefined;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}
