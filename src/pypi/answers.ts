// What pypi.org answers besides documents, byte for byte (facts/pypi.md §1, §2.2).

/** CORS fields of pypi.org's JSON and Simple answers, 404s included: name, value, name, value. */
export const CORS_FIELDS: readonly string[] = [
  "Access-Control-Allow-Origin",
  "*",
  "Access-Control-Allow-Methods",
  "GET",
  "Access-Control-Allow-Headers",
  "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since",
  "Access-Control-Max-Age",
  "86400",
  "Access-Control-Expose-Headers",
  "X-PyPI-Last-Serial",
];

/** A 404 of the JSON API, 24 bytes: a space after the colon, no newline at the end. */
export const JSON_NOT_FOUND = { contentType: "application/json", body: '{"message": "Not Found"}' };

/** A 404 of the Simple API, and of all else that is not JSON. */
export const PLAIN_NOT_FOUND = { contentType: "text/plain; charset=UTF-8", body: "404 Not Found" };

/** The body of the edge's slash redirect. */
export const MOVED_PERMANENTLY =
  "<html><head><title>301 Moved Permanently</title></head><body><center><h1>301 Moved Permanently</h1></center></body></html>";

/** The field that tells a project's serial: on every 200 (bandersnatch refuses a page without it). */
export const SERIAL_FIELD = "X-PyPI-Last-Serial";
