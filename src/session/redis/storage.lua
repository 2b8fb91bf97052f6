-- The first half of the script of the Redis session store: what is stored, and functions on it;
-- the second half, operations.lua, has the operations. Redis executes a script atomically: it
-- runs no other command until the script ends. A call names an operation and passes its
-- arguments; `false` and `nil` become a nil reply:
--
--   EVALSHA <SHA-1 of the script> 1 {dustdevil} get 0 <session key> <value name>
--
-- All Redis keys begin with the prefix. The part in braces is a hash tag: a Redis Cluster
-- hashes only this part, so all keys are in one slot, and a script may use them together.
--
--   {dustdevil}:session:<key>    hash: a session. Redis deletes it when it expires.
--   {dustdevil}:rotated:<key>    string: the origin of the session that had this key until it
--                                was rotated. Redis deletes it after the grace period.
--   {dustdevil}:current:<origin> string: the key that the session has now. Redis deletes it
--                                one grace period after the last rotation.
--   {dustdevil}:user:<name>      sorted set: the sessions of a user, by login number
--   {dustdevil}:anonymous        sorted set: the sessions without a user, by creation time
--   {dustdevil}:expiry           sorted set: all sessions, by time of the next expiry check
--   {dustdevil}:counters         hash: counts of events, and the last login number
--   {dustdevil}:secret           string: the secret that all servers share
--
-- The fields of a session. Times are in milliseconds since 1970.
--
--   idle                 the idle timeout, in milliseconds
--   absolute_end         the time at which the absolute timeout ends
--   created, last_used   times of the creation or last login, and of the last use
--   origin               the key with which it was created, if it was rotated since
--   id_sent_at           the time at which the client's cookie was last sent
--   last_ip              the client address of the last visit
--   bytes                the size of all values, see `cost`
--   value:<name>         a value. The prefix keeps its name apart from the fields above.
--
-- Full memory. When Redis has reached `maxmemory`, it refuses commands that may need more
-- memory (flag `denyoom`, such as HSET and ZADD) with the error OOM. In a script it refuses
-- them only until the script has written something: a script is not rolled back, so an
-- error in the middle would leave half of its writes, for example a session that is missing
-- in its user's index. The first write of each operation therefore decides whether the
-- operation works when memory is full:
--
--   - Operations that set a value begin with an HSET. It fails before anything is changed,
--     and the caller repeats the call with a number of anonymous sessions to evict first.
--   - Operations that read, rotate or destroy a session begin with a write that needs no
--     memory (PERSIST, ZREM, RENAME, DEL). They work, and so do the writes that follow in
--     the same script.

local prefix = KEYS[1]
local expiry = prefix .. ':expiry'
local anonymous = prefix .. ':anonymous'
local counters = prefix .. ':counters'

-- The time in milliseconds. The servers' clocks differ, so only that of Redis is used.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The replies of operations that write.
local DONE, NOT_DONE, TOO_LARGE, NOT_INTEGER = 1, 0, -1, -2

local function session_of(key) return prefix .. ':session:' .. key end
local function rotated_from(key) return prefix .. ':rotated:' .. key end
local function current_of(origin) return prefix .. ':current:' .. origin end
local function index_of(user) return prefix .. ':user:' .. user end
local function field_of(name) return 'value:' .. name end

-- The value names that src/session/store.rs gives a meaning.
local USERNAME, DEVICE = 'username', 'device'

-- The size of a value: its bytes, those of its name, and an estimate of Redis's overhead.
local function cost(name, value) return #name + #value + 32 end

local function count(event) redis.call('HINCRBY', counters, event, 1) end

local function is_live(key) return redis.call('EXISTS', session_of(key)) == 1 end

-- Returns `false` if there is no such value: Redis converts nil to `false`.
local function value_of(key, name)
  return redis.call('HGET', session_of(key), field_of(name))
end

-- Records the use of a session, sets more fields if any are given, and moves the time at
-- which Redis deletes the session (sliding expiration): after the idle timeout, and no
-- later than the end of the absolute timeout. PERSIST is only there as a first write that
-- cannot fail when memory is full; the PEXPIREAT cannot be that, because it may delete the
-- session, and HSET would then create it again.
local function touch(key, ...)
  local session = session_of(key)
  local limits = redis.call('HMGET', session, 'idle', 'absolute_end')
  redis.call('PERSIST', session)
  redis.call('HSET', session, 'last_used', now, ...)
  redis.call('PEXPIREAT', session, math.min(now + limits[1], tonumber(limits[2])))
end

-- Schedules the next expiry check of a session. A later use does not update the entry,
-- which saves a write in each operation: the check finds the session live and schedules it
-- again (lazy expiry).
local function schedule_check(key)
  redis.call('ZADD', expiry, now + redis.call('PTTL', session_of(key)), key)
end

local function unindex_user(key, user) redis.call('ZREM', index_of(user), key) end

-- Adds a session to the index of its user: with a new login number, as at a login, or
-- with that of an earlier login. The index expires with the last session that it may
-- contain.
--
-- Redis does not remove a session from the index when it deletes the session. So each call
-- checks eight entries at a pseudo-random position and removes those of expired sessions.
-- This bounds the size of the index without looking at all of it, like the sampling in
-- Redis's own expiry cycle.
local function index_user(key, user, login)
  local index = index_of(user)
  redis.call('ZADD', index, login or redis.call('HINCRBY', counters, 'logins', 1), key)
  local last = tonumber(redis.call('HGET', session_of(key), 'absolute_end'))
  if redis.call('PTTL', index) < last - now then redis.call('PEXPIREAT', index, last) end
  local first = time[2] % math.max(redis.call('ZCARD', index), 1)
  for _, other in ipairs(redis.call('ZRANGE', index, first, first + 7)) do
    if not is_live(other) then unindex_user(other, user) end
  end
end

local function set_value(key, name, value, max_bytes)
  local session = session_of(key)
  local old = value_of(key, name)
  local bytes = redis.call('HGET', session, 'bytes') + cost(name, value)
  if old then bytes = bytes - cost(name, old) end
  if bytes > tonumber(max_bytes) then return TOO_LARGE end
  redis.call('HSET', session, field_of(name), value, 'bytes', bytes)
  if name == USERNAME and value ~= old then
    if old then unindex_user(key, old) else redis.call('ZREM', anonymous, key) end
    index_user(key, value)
  end
  return DONE
end

local function remove_value(key, name)
  local old = value_of(key, name)
  if old then
    redis.call('HDEL', session_of(key), field_of(name))
    redis.call('HINCRBY', session_of(key), 'bytes', -cost(name, old))
    if name == USERNAME then
      unindex_user(key, old)
      redis.call('ZADD', anonymous, redis.call('HGET', session_of(key), 'created'), key)
    end
  end
  return old
end

local function delete_session(key)
  local user = value_of(key, USERNAME)
  if user then unindex_user(key, user) else redis.call('ZREM', anonymous, key) end
  redis.call('DEL', session_of(key))
  redis.call('ZREM', expiry, key)
end

-- Deletes the oldest anonymous sessions: all sessions share the memory, and anyone can create
-- anonymous ones.
local function evict_anonymous(number)
  for _, key in ipairs(redis.call('ZRANGE', anonymous, 0, number - 1)) do
    local was_live = is_live(key)
    delete_session(key)
    count(was_live and 'evicted' or 'expired')
  end
end

-- Deletes all traces of an earlier session with this key, and counts its end. Keys are
-- random, so there is none in practice, but the contract covers a key that is used again.
local function delete_stale(key)
  if redis.call('ZSCORE', expiry, key) then
    local was_live = is_live(key)
    delete_session(key)
    count(was_live and 'ended' or 'expired')
  end
end

