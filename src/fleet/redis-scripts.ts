import type { Result } from "ioredis";
import { BREAKER, LONGEST_REST_MS, PROBE_MS } from "./limiter.ts";
import { PLACE_WAIT_MS } from "./limiter-rules.ts";

// What the nodes of a fleet decide together is decided in Redis, one script at a time, by Redis' own clock: the nodes'
// clocks need not agree. The rules are those of lease-table.ts and limiter-rules.ts, and test/fleet holds one to the other.
//
//   larder:1:lease:{<key>}         STRING  the holder's token; ends by its expiry
//   larder:1:{<upstream>}:places   ZSET    who has a request under way -> when his place is free by itself
//   larder:1:{<upstream>}:limiter  HASH    bucket, rest and breaker; see LimiterRecord
//   larder:1:news                  CHANNEL what nodes tell one another, as JSON

/** `now` in milliseconds and `micros` in microseconds. */
const CLOCK = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
`;

/** KEYS lease; ARGV lengthMs. Returns {1 if it is ours now, the holder's token}. */
const ACQUIRE = `${CLOCK}
local held = redis.call('GET', KEYS[1])
if held then return {0, held} end
local token = string.format('%.0f', micros)
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return {1, token}
`;

/** KEYS lease; ARGV token, lengthMs. Returns 1 where it was still ours. */
const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

/** KEYS lease; ARGV token, channel, message. */
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
`;

const RECORD = `${CLOCK}
local FIELDS = {'tokens', 'refilledAt', 'restUntil', 'failures', 'openings', 'openUntil', 'probe', 'probeUntil'}
local record = {}
for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(FIELDS))) do
  if FIELDS[i] == 'probe' then record.probe = value or '' else record[FIELDS[i]] = tonumber(value or 0) end
end
-- More than any such span is long: the clock was set back.
local function leftMs(instant, longest)
  local left = instant - now
  if left > longest then return 0 end
  return math.max(0, left)
end
local function keep()
  local values = {}
  for _, field in ipairs(FIELDS) do
    values[#values + 1] = field
    values[#values + 1] = field == 'probe' and record.probe or string.format('%.3f', record[field])
  end
  redis.call('HSET', KEYS[2], unpack(values))
  redis.call('PEXPIRE', KEYS[2], 3600000)
end
`;

/**
 * KEYS places, limiter; ARGV id, placeMs, places, perSecond (below 0 for no bound), burst.
 * Returns {kind, ms, restUntil, openings, openUntil}, all but the kind as text.
 */
const ENTER = `${RECORD}
local id, placeMs, places, perSecond, burst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if record.refilledAt == 0 then record.tokens, record.refilledAt = burst, now end
local function say(kind, ms)
  return {kind, tostring(ms), tostring(record.restUntil), tostring(record.openings), tostring(record.openUntil)}
end

local rest = leftMs(record.restUntil, ${LONGEST_REST_MS})
if rest > 0 then return say('rate-limited', rest) end
if record.openings > 0 then
  local open = leftMs(record.openUntil, ${BREAKER.longestOpenMs})
  if open > 0 then return say('breaker', open) end
  local probing = record.probe ~= '' and tonumber(redis.call('ZSCORE', KEYS[1], record.probe) or 0) > now
  if probing and leftMs(record.probeUntil, ${PROBE_MS}) > 0 then return say('breaker', ${BREAKER.openMs}) end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now + placeMs), '+inf')
if redis.call('ZCARD', KEYS[1]) >= places then return say('wait', ${PLACE_WAIT_MS}) end
if perSecond < 0 then
  record.tokens = burst
else
  record.tokens = math.min(burst, record.tokens + math.max(0, now - record.refilledAt) * perSecond / 1000)
end
record.refilledAt = now
if record.tokens < 1 then
  keep()
  return say('wait', math.ceil((1 - record.tokens) * 1000 / perSecond))
end
record.tokens = record.tokens - 1
redis.call('ZADD', KEYS[1], now + placeMs, id)
redis.call('PEXPIRE', KEYS[1], 3600000)
if record.openings > 0 then record.probe, record.probeUntil = id, now + ${PROBE_MS} end
keep()
return say('admitted', 0)
`;

/** KEYS places, limiter; ARGV id, how it ended, restMs. Returns {restUntil, openings, openUntil} as text. */
const LEAVE = `${RECORD}
local id, kind = ARGV[1], ARGV[2]
redis.call('ZREM', KEYS[1], id)
local isProbe = record.probe == id
if isProbe then record.probe = '' end
if kind == 'rate-limited' then record.restUntil = math.max(record.restUntil, now + tonumber(ARGV[3])) end
if kind == 'failed' then
  record.failures = record.failures + 1
  if isProbe or (record.openings == 0 and record.failures >= ${BREAKER.failures}) then
    record.openUntil = now + math.min(${BREAKER.openMs} * 2 ^ record.openings, ${BREAKER.longestOpenMs})
    record.openings = math.min(record.openings + 1, 16)
  end
elseif kind ~= 'neither' and (record.openings == 0 or isProbe) then
  record.failures, record.openings, record.openUntil = 0, 0, 0
end
keep()
return {tostring(record.restUntil), tostring(record.openings), tostring(record.openUntil)}
`;

/** KEYS places; ARGV placeMs, ids. Keeps the places that are still held. */
const STAY = `${CLOCK}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[1]), ARGV[i]) end
return redis.status_reply('OK')
`;

/** For ioredis' `scripts` option. */
export const FLEET_SCRIPTS = {
  larderAcquire: { lua: ACQUIRE, numberOfKeys: 1 },
  larderRenew: { lua: RENEW, numberOfKeys: 1 },
  larderRelease: { lua: RELEASE, numberOfKeys: 1 },
  larderEnter: { lua: ENTER, numberOfKeys: 2 },
  larderLeave: { lua: LEAVE, numberOfKeys: 2 },
  larderStay: { lua: STAY, numberOfKeys: 1 },
};

declare module "ioredis" {
  interface RedisCommander<Context> {
    larderAcquire(lease: string, lengthMs: number): Result<unknown, Context>;
    larderRenew(lease: string, token: string, lengthMs: number): Result<unknown, Context>;
    larderRelease(lease: string, token: string, channel: string, message: string): Result<unknown, Context>;
    larderEnter(
      places: string,
      limiter: string,
      id: string,
      ...limits4: readonly number[]
    ): Result<unknown, Context>;
    larderLeave(
      places: string,
      limiter: string,
      id: string,
      kind: string,
      restMs: number,
    ): Result<unknown, Context>;
    larderStay(places: string, placeMs: number, ...ids: readonly string[]): Result<unknown, Context>;
  }
}
