-- The operations of the Redis session store. Redis executes a script atomically: it runs no
-- other command until the script ends. A call names one of the operations at the bottom of
-- this file and passes its arguments; `false` and `nil` become a nil reply:
--
--   EVALSHA <SHA-1 of this file> 1 {dustdevil} get <session key> <value name>
--
-- All Redis keys begin with the prefix. The part in braces is a hash tag: a Redis Cluster
-- hashes only this part, so all keys are in one slot, and a script may use them together.
--
--   {dustdevil}:session:<key>    hash: a session. Redis deletes it when it expires.
--   {dustdevil}:successor:<key>  string: the key to which the session was rotated. Redis
--                                deletes it after the grace period of the rotation.
--   {dustdevil}:user:<name>      sorted set: the sessions of a user, by login number
--   {dustdevil}:expiry           sorted set: all sessions, by time of the next expiry check
--   {dustdevil}:counters         hash: counts of events, and the last login number
--   {dustdevil}:secret           string: the secret that all servers share
--
-- The fields of a session. Times are in milliseconds since 1970.
--
--   idle                 the idle timeout, in milliseconds
--   absolute_end         the time at which the absolute timeout ends
--   created, last_used   times of the creation or last login, and of the last use
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
--   - Operations that set a value begin with an HSET. It fails before anything is changed.
--   - Operations that read, rotate or destroy a session begin with a write that needs no
--     memory (PERSIST, ZREM, RENAME, DEL). They work, and so do the writes that follow in
--     the same script.

local prefix = KEYS[1]
local expiry = prefix .. ':expiry'
local counters = prefix .. ':counters'

-- The time in milliseconds. The servers' clocks differ, so only that of Redis is used.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The replies of operations that write.
local DONE, NOT_DONE, TOO_LARGE = 1, 0, -1

local function session_of(key) return prefix .. ':session:' .. key end
local function successor_of(key) return prefix .. ':successor:' .. key end
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
    if old then unindex_user(key, old) end
    index_user(key, value)
  end
  return DONE
end

local function remove_value(key, name)
  local old = value_of(key, name)
  if old then
    redis.call('HDEL', session_of(key), field_of(name))
    redis.call('HINCRBY', session_of(key), 'bytes', -cost(name, old))
    if name == USERNAME then unindex_user(key, old) end
  end
  return old
end

local function delete_session(key)
  local user = value_of(key, USERNAME)
  if user then unindex_user(key, user) end
  redis.call('DEL', session_of(key))
  redis.call('ZREM', expiry, key)
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

-- The operations of the trait `Store` in src/session/store.rs, which documents them. If the
-- session is not live, they return nil, unless their comment says otherwise.
local operations = {}

-- The first write is the HSET, or the deletion of a stale session, which frees memory.
function operations.create(key, idle, absolute, ip, name, value, max_bytes)
  if is_live(key) then return NOT_DONE end
  if cost(name, value) > tonumber(max_bytes) then return TOO_LARGE end
  delete_stale(key)
  redis.call('HSET', session_of(key), 'idle', idle, 'absolute_end', now + absolute,
    'created', now, 'id_sent_at', now, 'last_ip', ip, 'bytes', 0)
  set_value(key, name, value, max_bytes)
  touch(key)
  schedule_check(key)
  count('created')
  return DONE
end

-- Returns the value, whether to renew the client's cookie (1 or 0), the idle timeout and
-- the rest of the absolute timeout. If the session is not live: 1 if it was rotated,
-- otherwise 0.
function operations.visit(key, ip, name)
  if not is_live(key) then
    -- `pcall`, because the counter is a first write that fails if memory is full. The reply
    -- is the same without the count.
    redis.pcall('HINCRBY', counters, 'rejected_ids', 1)
    return redis.call('EXISTS', successor_of(key))
  end
  local found = redis.call('HMGET', session_of(key), field_of(name), 'idle', 'absolute_end',
    'id_sent_at')
  local value, idle, left = found[1], tonumber(found[2]), found[3] - now
  local renew = now - found[4] >= idle / 10
  touch(key, 'last_ip', ip, 'id_sent_at', renew and now or found[4])
  return { value, renew and 1 or 0, idle, math.max(left, 0) }
end

-- Returns a list of one element, because nil alone means that the session is not live.
function operations.get(key, name)
  if not is_live(key) then return end
  touch(key)
  return { value_of(key, name) }
end

function operations.set(key, name, value, max_bytes)
  if not is_live(key) then return end
  local result = set_value(key, name, value, max_bytes)
  touch(key)
  return result
end

-- Returns a list of one element, like `get`.
function operations.remove(key, name)
  if not is_live(key) then return end
  local old = remove_value(key, name)
  touch(key)
  return { old }
end

-- If `expected` is nil, the name must have no value.
function operations.compare_and_set(key, name, value, max_bytes, expected)
  if not is_live(key) then return end
  local result, old = NOT_DONE, value_of(key, name)
  if old == (expected or false) then result = set_value(key, name, value, max_bytes) end
  touch(key)
  return result
end

local function names_in(key)
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', session_of(key))) do
    local name = string.match(field, '^value:(.*)$')
    if name then table.insert(names, name) end
  end
  return names
end

function operations.keys(key)
  if not is_live(key) then return end
  touch(key)
  return names_in(key)
end

function operations.clear(key)
  if not is_live(key) then return end
  for _, name in ipairs(names_in(key)) do remove_value(key, name) end
  touch(key)
  return DONE
end

-- Follows the successors if the session was rotated. The loop ends, because a rotation
-- deletes the successor of its new key, so the chain has no cycle.
function operations.destroy(key)
  while key and not is_live(key) do key = redis.call('GET', successor_of(key)) end
  if not key then return NOT_DONE end
  delete_session(key)
  count('ended')
  return DONE
end

-- Without `idle` and `absolute`, the session keeps its lifetime and its position in its
-- user's index. With them, as at a login, both start again.
function operations.rotate(key, new, grace, idle, absolute)
  if not is_live(key) then return NOT_DONE end
  local user = value_of(key, USERNAME)
  local login = user and not idle and redis.call('ZSCORE', index_of(user), key)
  if user then unindex_user(key, user) end
  delete_stale(new)
  redis.call('RENAME', session_of(key), session_of(new))
  redis.call('ZREM', expiry, key)
  redis.call('SET', successor_of(key), new, 'PX', grace)
  redis.call('DEL', successor_of(new))
  if idle then
    redis.call('HSET', session_of(new), 'idle', idle, 'absolute_end', now + absolute,
      'created', now)
  end
  if user then index_user(new, user, login) end
  -- If the absolute timeout ends in this millisecond, `touch` deletes the session, because
  -- PEXPIREAT with a time in the past does. So everything that reads the session comes
  -- before.
  touch(new, 'id_sent_at', now)
  schedule_check(new)
  count('rotated')
  return DONE
end

function operations.successors(key)
  local keys = {}
  key = redis.call('GET', successor_of(key))
  while key do
    table.insert(keys, key)
    key = redis.call('GET', successor_of(key))
  end
  return keys
end

-- Returns a row per session: its key, its age, the time since its last use, its last client
-- address and its device. Removes expired sessions from the index.
function operations.sessions_of(user)
  local rows = {}
  for _, key in ipairs(redis.call('ZREVRANGE', index_of(user), 0, -1)) do
    local found = redis.call('HMGET', session_of(key), 'created', 'last_used', 'last_ip',
      field_of(DEVICE))
    if found[1] then
      local age, idle = math.max(now - found[1], 0), math.max(now - found[2], 0)
      table.insert(rows, { key, age, idle, found[3], found[4] })
    else
      unindex_user(key, user)
    end
  end
  return rows
end

function operations.sessions_over_limit(user, max)
  local over, live = {}, 0
  -- Each login gets here, and rarely is there a session to end.
  if redis.call('ZCARD', index_of(user)) <= tonumber(max) then return over end
  for _, key in ipairs(redis.call('ZREVRANGE', index_of(user), 0, -1)) do
    if is_live(key) then
      live = live + 1
      if live > tonumber(max) then table.insert(over, key) end
    else
      unindex_user(key, user)
    end
  end
  return over
end

function operations.counters()
  local counts =
    redis.call('HMGET', counters, 'created', 'ended', 'expired', 'rotated', 'rejected_ids')
  table.insert(counts, 1, redis.call('ZCARD', expiry))
  return counts
end

-- Runs up to `max` expiry checks that are due and returns their number. A session that
-- Redis has deleted (PTTL returns -2) is counted as expired; a live one is scheduled for
-- the millisecond after its current end. ZREM comes first, because it works if memory is
-- full; ZADD alone would not.
function operations.sweep(max)
  local due = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, max)
  for _, key in ipairs(due) do
    local left = redis.call('PTTL', session_of(key))
    redis.call('ZREM', expiry, key)
    if left == -2 then
      count('expired')
    else
      redis.call('ZADD', expiry, now + math.max(left, 0) + 1, key)
    end
  end
  return #due
end

-- Returns the stored secret; stores the offered one if there is none. A server can start
-- while memory is full if the secret exists already.
function operations.shared_secret(offered)
  local secret = redis.call('GET', prefix .. ':secret')
  if secret then return secret end
  redis.call('SET', prefix .. ':secret', offered)
  return offered
end

return operations[ARGV[1]](unpack(ARGV, 2))
