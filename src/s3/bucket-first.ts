import type { BlobKey } from "../blobs/blobs.ts";
import type { Source, SourceAbsent, SourceStream } from "../blobs/source.ts";
import { UpstreamUnavailable } from "../errors.ts";
import type { Bucket } from "./bucket.ts";
import type { Uploads } from "./uploads.ts";

/**
 * A source that asks the bucket first and upstream where that has nothing. After a break it is the other way round: the
 * bucket again where upstream has no answer. What came from upstream is uploaded once it is stored.
 */
export function bucketFirst(
  key: BlobKey,
  upstream: Source,
  bucket: Pick<Bucket, "open" | "refuse">,
  uploads: Pick<Uploads, "add">,
): Source {
  let isOfBucket = false;
  let isOfUpstream = false;
  const openBucket = async (startAt: number): Promise<SourceStream | undefined> => {
    const stream = await bucket.open(key, startAt);
    isOfBucket ||= stream !== undefined;
    return stream;
  };
  const openUpstream = async (startAt: number, anew: boolean): Promise<SourceStream | SourceAbsent> => {
    const answer = await upstream.open(startAt, anew);
    isOfUpstream ||= answer.kind === "stream";
    return answer;
  };
  return {
    open: async (startAt, onFreshConnection) => {
      if (!onFreshConnection) return (await openBucket(startAt)) ?? (await openUpstream(startAt, false));
      try {
        return await openUpstream(startAt, true);
      } catch (error) {
        if (!(error instanceof UpstreamUnavailable)) throw error;
        const rest = await openBucket(startAt);
        if (rest === undefined) throw error;
        return rest;
      }
    },
    publish: async (file) => {
      if (isOfUpstream) await uploads.add(key, file);
    },
    refuse: () => {
      if (isOfBucket) bucket.refuse(key);
    },
  };
}
