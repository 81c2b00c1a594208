/** What browsers are told, on nearly every answer (facts/pypi.md §1.5). */
export const CORS = {
  "access-control-allow-headers":
    "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since",
  "access-control-allow-methods": "GET",
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "X-PyPI-Last-Serial",
  "access-control-max-age": "86400",
};

/** What else the edge puts on each answer. */
export const EDGE = {
  "accept-ranges": "bytes",
  "content-security-policy": "base-uri 'self'; default-src 'none'",
  "permissions-policy": "geolocation=(self), microphone=(self)",
  "referrer-policy": "origin-when-cross-origin",
  "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
  "x-cache": "HIT, HIT",
  "x-cache-hits": "1, 1",
  "x-content-type-options": "nosniff",
  "x-frame-options": "deny",
  "x-permitted-cross-domain-policies": "none",
  "x-served-by": "cache-iad-kjyo7100000-IAD, cache-fra-eddf8230000-FRA",
  "x-timer": "S1760000000.000000,VS0,VE1",
  "x-xss-protection": "1; mode=block",
};
