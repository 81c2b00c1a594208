import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { freePort } from "../support/free-port.ts";

/** A real S3 server of the test's own, with one bucket, on a free port of 127.0.0.1. */
export interface S3Server {
  /** Base URL of the service. */
  readonly endpoint: string;
  /** What LARDER_S3 is set to. */
  readonly url: string;
  /** Names of the objects. */
  keys(): Promise<string[]>;
  get(key: string): Promise<Buffer>;
  /** Its fields, by their names in the SDK. */
  head(key: string): Promise<{
    readonly ContentType?: string;
    readonly Metadata?: Record<string, string>;
    readonly ETag?: string;
  }>;
  /** Puts an object there as it is, such as one that is wrong. */
  put(key: string, bytes: Buffer): Promise<void>;
  /** Stops answering, keeping its connections (SIGSTOP), until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends it at once (SIGKILL); what it stored stays. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends it for good and removes its files. */
  stop(): Promise<void>;
}

/** Who may use it. Larder is told by the SDK's own variables. */
export const S3_CREDENTIALS = {
  AWS_ACCESS_KEY_ID: "larder-test",
  AWS_SECRET_ACCESS_KEY: "not-a-secret-7f3a",
};

const BUCKET = "files";
const REGION = "us-east-1";

/** Starts one, and resolves once it answers. */
export async function startS3(program: string): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), "larder-s3-"));
  for (const name of ["objects", "metadata"]) mkdirSync(join(folder, name));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: {
      accessKeyId: S3_CREDENTIALS.AWS_ACCESS_KEY_ID,
      secretAccessKey: S3_CREDENTIALS.AWS_SECRET_ACCESS_KEY,
    },
  });
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    // Metadata in a folder of its own: not every temporary file system has extended attributes.
    const args = ["--port", `127.0.0.1:${port}`, "--region", REGION, "--quiet"];
    child = spawn(
      program,
      [...args, "posix", "--sidecar", join(folder, "metadata"), join(folder, "objects")],
      {
        env: {
          ROOT_ACCESS_KEY: S3_CREDENTIALS.AWS_ACCESS_KEY_ID,
          ROOT_SECRET_KEY: S3_CREDENTIALS.AWS_SECRET_ACCESS_KEY,
        },
        stdio: "ignore",
      },
    );
    await untilOpen(port, child);
  };
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  await start();
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  return {
    endpoint,
    url: `s3://${BUCKET}/larder?endpoint=${endpoint}&region=${REGION}`,
    keys: async () => {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
      return Contents.map(({ Key = "" }) => Key).filter((key) => !key.endsWith("/"));
    },
    get: async (key) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
    head: async (key) => {
      const { ContentType, Metadata, ETag } = await client.send(
        new HeadObjectCommand({ Bucket: BUCKET, Key: key }),
      );
      return { ...(ContentType && { ContentType }), ...(Metadata && { Metadata }), ...(ETag && { ETag }) };
    },
    put: async (key, bytes) => {
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: bytes }));
    },
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    kill,
    start,
    stop: async () => {
      await kill();
      client.destroy();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** It tells nobody when it is ready: it has to be asked. */
async function untilOpen(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the S3 server ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await wait(20);
    } finally {
      socket.destroy();
    }
  }
}
