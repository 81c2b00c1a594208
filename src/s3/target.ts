import { ConfigError } from "../errors.ts";

/** Which bucket, where, and how it is addressed. Credentials are not among it: the SDK finds those itself. */
export interface S3Target {
  readonly bucket: string;
  /** Begins every object's key; no slash at its ends, "" for none. */
  readonly prefix: string;
  /** Base URL of the service; undefined for Amazon's own of the region. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  /** The bucket in the path (most self-hosted services) rather than in the host name. */
  readonly pathStyle: boolean;
}

/** What LARDER_S3 accepts, for error messages and the README. */
export const S3_URL_FORM =
  "s3://bucket[/prefix][?endpoint=https://host:9000&region=eu-central-1&path-style=1]";

const PARAMETERS = new Set(["endpoint", "region", "path-style"]);

/** @throws ConfigError with one fault, in which nothing of what was given is repeated */
export function parseS3Url(text: string): S3Target {
  const [, bucket, path = "", query = ""] =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(\/[^?#]*)?(?:\?([^#]*))?$/.exec(text) ?? [];
  if (bucket === undefined) throw new ConfigError([`write ${S3_URL_FORM}`]);
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.has(name)) throw new ConfigError([`the parameters are ${[...PARAMETERS].join(", ")}`]);
  }
  const endpoint = parameters.get("endpoint") ?? undefined;
  const pathStyle = parameters.get("path-style") ?? (endpoint === undefined ? "0" : "1");
  if (pathStyle !== "0" && pathStyle !== "1") throw new ConfigError(["path-style is 0 or 1"]);
  return {
    bucket,
    prefix: path.replaceAll(/^\/+|\/+$/g, ""),
    endpoint: endpoint === undefined ? undefined : checkEndpoint(endpoint),
    region: parameters.get("region") ?? undefined,
    pathStyle: pathStyle === "1",
  };
}

/** The target as the start-up log shows it, in the form that `parseS3Url` reads. */
export function describeS3({ bucket, prefix, endpoint, region, pathStyle }: S3Target): string {
  const parameters = [
    ...(endpoint === undefined ? [] : [`endpoint=${endpoint}`]),
    ...(region === undefined ? [] : [`region=${region}`]),
    `path-style=${pathStyle ? 1 : 0}`,
  ];
  return `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}?${parameters.join("&")}`;
}

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(["the endpoint is an http or https URL"]);
  }
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError([
      "credentials are the SDK's: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, a profile, a role",
    ]);
  }
  return endpoint.replace(/\/+$/, "");
}
