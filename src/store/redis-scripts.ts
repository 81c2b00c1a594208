import type { Result } from "ioredis";

// What must be atomic runs in Redis, as Lua: a head is read, judged, merged and written in one step, with its entry.
// The rules are those of change-rules.ts. Keys are declared in KEYS; numbers are kept as the text they came as, since
// Lua would write a large one as 1.8e+12.

const COMMON = `
local function entryOf(json)
  local ok, entry = pcall(cjson.decode, json or '')
  if ok and type(entry) == 'table' then return entry end
  return {}
end

-- The generations held under a key: as text, without the bodies' fields.
local function generations(key)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.match(field, '^%d+$') then found[#found + 1] = field end
  end
  return found
end

-- Puts the expiry off, once a tenth of the time is gone: a read is seldom a write.
local function renew(key, expireMs)
  local left = redis.call('PTTL', key)
  if left ~= -2 and left < expireMs * 0.9 then redis.call('PEXPIRE', key, expireMs) end
end
`;

/** KEYS head, names, entry; ARGV name, expireMs. Returns {head fields…}, entry JSON or nil. */
const READ = `${COMMON}
local head = redis.call('HMGET', KEYS[1], 'generation', 'advancedAt', 'confirmedAt', 'invalidatedAt', 'lowerSince')
local json = false
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then
  local newest = nil
  for _, generation in ipairs(generations(KEYS[3])) do
    if not newest or tonumber(generation) > tonumber(newest) then newest = generation end
  end
  if newest then json = redis.call('HGET', KEYS[3], newest) end
end
for _, key in ipairs(KEYS) do renew(key, tonumber(ARGV[2])) end
return {head, json}
`;

/** KEYS entry; ARGV digest. Returns the body that is held for the digest, or nil. */
const READ_BODY = `${COMMON}
for _, generation in ipairs(generations(KEYS[1])) do
  if entryOf(redis.call('HGET', KEYS[1], generation)).digest == ARGV[1] then
    return redis.call('HGET', KEYS[1], generation .. ':body')
  end
end
return false
`;

const PUT_HEAD = `
local expireMs, basis = tonumber(ARGV[1]), tonumber(ARGV[2])
local head = {generation = ARGV[3], advancedAt = ARGV[4], confirmedAt = ARGV[5], invalidatedAt = ARGV[6], lowerSince = ARGV[7]}
local stored = {}
local values = redis.call('HMGET', KEYS[1], 'generation', 'advancedAt', 'confirmedAt', 'invalidatedAt')
for i, field in ipairs({'generation', 'advancedAt', 'confirmedAt', 'invalidatedAt'}) do stored[field] = values[i] end

local known = tonumber(stored.generation or '0')
if known ~= basis and known >= tonumber(head.generation) then return 'refused' end
if isFenced then return 'refused' end

local function keepStored(field, isBetter)
  if stored[field] and isBetter(tonumber(stored[field]), tonumber(head[field])) then head[field] = stored[field] end
end
if stored.generation then
  keepStored('invalidatedAt', function(a, b) return a > b end)
  if known == tonumber(head.generation) then
    keepStored('confirmedAt', function(a, b) return a > b end)
    keepStored('advancedAt', function(a, b) return a < b end)
  end
end
for field, value in pairs(head) do redis.call('HSET', KEYS[1], field, value) end
redis.call('PEXPIRE', KEYS[1], expireMs)
`;

/** KEYS head; ARGV expireMs, basis, the head's five numbers. Returns "written" or "refused". */
const WRITE_HEAD = `local isFenced = false
${PUT_HEAD}
return 'written'
`;

/**
 * KEYS head, names, entry; ARGV as for the head, then name, generation, entry JSON, and the body where there is one.
 * Returns "written" or "refused".
 */
const WRITE = `${COMMON}
local name, generation, json, body = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local entry = entryOf(json)

-- What is not in the index is left over from before the index was evicted or the group removed: it does not count.
-- Nothing is written before the head: Redis refuses for want of memory only the first write of a script.
local held, isFenced = {}, false
local isIndexed = redis.call('SISMEMBER', KEYS[2], name) == 1
for _, other in ipairs(isIndexed and generations(KEYS[3]) or {}) do
  held[other] = entryOf(redis.call('HGET', KEYS[3], other))
  isFenced = isFenced or ((held[other].fence or 0) > (entry.fence or 0) and tonumber(other) >= tonumber(generation))
end
${PUT_HEAD}
for other, its in pairs(held) do
  local isNewer = tonumber(other) > tonumber(generation) and tonumber(other) <= tonumber(head.generation)
  if isNewer and (its.status == 200 or (its.confirmedAt or 0) > entry.confirmedAt) then return 'written' end
end

if not body and entry.digest ~= '' then
  for other, its in pairs(held) do
    if its.digest == entry.digest then body = redis.call('HGET', KEYS[3], other .. ':body') or body end
  end
end
redis.call('UNLINK', KEYS[3])
redis.call('HSET', KEYS[3], generation, json)
if body then redis.call('HSET', KEYS[3], generation .. ':body', body) end
redis.call('SADD', KEYS[2], name)
redis.call('PEXPIRE', KEYS[2], expireMs)
redis.call('PEXPIRE', KEYS[3], expireMs)
return 'written'
`;

/**
 * KEYS head, names; ARGV generation, at, expireMs. Raises the head to a generation that the change feed told of, where
 * anything of the group is held; an entry may be held whose head was evicted.
 */
const ADVANCE = `
local stored = redis.call('HGET', KEYS[1], 'generation')
if not stored and redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if tonumber(stored or '0') >= tonumber(ARGV[1]) then return 0 end
if not stored then redis.call('HSET', KEYS[1], 'confirmedAt', '0', 'invalidatedAt', '0') end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'advancedAt', ARGV[2], 'lowerSince', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`;

/** KEYS feed; ARGV expireMs, serial, asOf, followedSince, fence. Returns "written" or "refused". */
const WRITE_FEED = `
if tonumber(redis.call('HGET', KEYS[1], 'fence') or '0') > tonumber(ARGV[5]) then return 'refused' end
redis.call('HSET', KEYS[1], 'serial', ARGV[2], 'asOf', ARGV[3], 'followedSince', ARGV[4], 'fence', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 'written'
`;

/** KEYS any; ARGV expireMs. Marks the keys as used, for Redis' own eviction, and puts their expiry off. */
const TOUCH = `${COMMON}
redis.call('TOUCH', unpack(KEYS))
for _, key in ipairs(KEYS) do renew(key, tonumber(ARGV[1])) end
return redis.status_reply('OK')
`;

/** KEYS head, names, then entries; ARGV the entries' names. Returns how many names are left. */
const REMOVE = `
redis.call('UNLINK', KEYS[1])
for i, name in ipairs(ARGV) do
  redis.call('UNLINK', KEYS[i + 2])
  redis.call('SREM', KEYS[2], name)
end
return redis.call('SCARD', KEYS[2])
`;

/** For ioredis' `scripts` option: EVALSHA, and EVAL where Redis does not know the script (yet, or after a restart). */
export const REDIS_SCRIPTS = {
  larderRead: { lua: READ, numberOfKeys: 3 },
  larderReadBody: { lua: READ_BODY, numberOfKeys: 1 },
  larderWriteHead: { lua: WRITE_HEAD, numberOfKeys: 1 },
  larderWrite: { lua: WRITE, numberOfKeys: 3 },
  larderTouch: { lua: TOUCH },
  larderRemove: { lua: REMOVE },
  larderAdvance: { lua: ADVANCE, numberOfKeys: 2 },
  larderWriteFeed: { lua: WRITE_FEED, numberOfKeys: 1 },
};

declare module "ioredis" {
  interface RedisCommander<Context> {
    larderRead(
      head: string,
      names: string,
      entry: string,
      name: string,
      expireMs: number,
    ): Result<unknown, Context>;
    larderReadBodyBuffer(entry: string, digest: string): Result<unknown, Context>;
    larderWriteHead(head: string, ...head7: readonly number[]): Result<unknown, Context>;
    larderWrite(
      head: string,
      names: string,
      entry: string,
      ...values: readonly (string | number | Buffer)[]
    ): Result<unknown, Context>;
    larderTouch(keyCount: number, ...keysAndExpireMs: readonly (string | number)[]): Result<unknown, Context>;
    larderRemove(keyCount: number, ...keysAndNames: readonly string[]): Result<unknown, Context>;
    larderAdvance(
      head: string,
      names: string,
      generation: number,
      at: number,
      expireMs: number,
    ): Result<unknown, Context>;
    larderWriteFeed(feed: string, ...expireMsAndPosition: readonly number[]): Result<unknown, Context>;
  }
}
