-- The operations of the trait `Store` in src/session/store.rs, which documents them. If the
-- session is not live, they return nil, unless their comment says otherwise.
local operations = {}

-- The first write is the HSET, or the deletion of a stale session, which frees memory.
-- Above `max_anonymous` each anonymous session evicts two, so the number also falls if the
-- limit was lowered.
function operations.create(key, idle, absolute, ip, name, value, max_bytes, max_anonymous)
  if is_live(key) then return NOT_DONE end
  if cost(name, value) > tonumber(max_bytes) then return TOO_LARGE end
  delete_stale(key)
  redis.call('HSET', session_of(key), 'idle', idle, 'absolute_end', now + absolute,
    'created', now, 'id_sent_at', now, 'last_ip', ip, 'bytes', 0)
  set_value(key, name, value, max_bytes)
  if name ~= USERNAME then
    redis.call('ZADD', anonymous, now, key)
    if redis.call('ZCARD', anonymous) > tonumber(max_anonymous) then evict_anonymous(2) end
  end
  touch(key)
  schedule_check(key)
  return DONE
end

-- Returns the value, whether to renew the client's cookie (1 or 0), the idle timeout, the
-- rest of the absolute timeout, and the time. If the session is not live: 1 if it was
-- rotated, otherwise 0; this writes nothing, because clients can send any number of ids.
function operations.visit(key, ip, name)
  if not is_live(key) then return redis.call('EXISTS', rotated_from(key)) end
  local found = redis.call('HMGET', session_of(key), field_of(name), 'idle', 'absolute_end',
    'id_sent_at')
  local value, idle, left = found[1], tonumber(found[2]), found[3] - now
  local renew = now - found[4] >= idle / 10
  touch(key, 'last_ip', ip, 'id_sent_at', renew and now or found[4])
  return { value, renew and 1 or 0, idle, math.max(left, 0), now }
end

function operations.visit_all(ip, name, ...)
  local replies = {}
  for _, key in ipairs({ ... }) do table.insert(replies, operations.visit(key, ip, name)) end
  return replies
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

-- If `expected` is nil, the name must have no value. If the value is another, returns it in a
-- list, so that the caller can try again without reading it first.
function operations.compare_and_set(key, name, value, max_bytes, expected)
  if not is_live(key) then return end
  local old = value_of(key, name)
  local result = { old }
  if old == (expected or false) then result = set_value(key, name, value, max_bytes) end
  touch(key)
  return result
end

-- Adds to a decimal integer and returns the sum in a list. Lua has only floating-point numbers,
-- which are exact up to 2^53, so more than 15 digits are refused.
function operations.add(key, name, amount, max_bytes)
  if not is_live(key) then return end
  local old = value_of(key, name) or '0'
  local result = NOT_INTEGER
  if string.match(old, '^%-?%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$') then
    local sum = string.format('%.0f', old + amount)
    result = set_value(key, name, sum, max_bytes)
    if result == DONE then result = { sum } end
  end
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

-- Deletes the hash and writes the store's own fields again, so that the work does not depend on
-- the number of values.
function operations.clear(key)
  if not is_live(key) then return end
  remove_value(key, USERNAME)
  local own = { 'idle', 'absolute_end', 'created', 'id_sent_at', 'last_ip', 'origin' }
  local fields = { 'bytes', 0 }
  for index, value in ipairs(redis.call('HMGET', session_of(key), unpack(own))) do
    if value then
      table.insert(fields, own[index])
      table.insert(fields, value)
    end
  end
  redis.call('DEL', session_of(key))
  redis.call('HSET', session_of(key), unpack(fields))
  touch(key)
  return DONE
end

-- Returns the key that the session has now, if it had `key` until a rotation. Two steps,
-- however often it was rotated: a chain from each key to the next would cost one per rotation.
local function successor_of(key)
  local origin = redis.call('GET', rotated_from(key))
  return origin and redis.call('GET', current_of(origin))
end

-- Follows a rotation: a logout that was sent with the old id must not be lost.
function operations.destroy(key)
  if not is_live(key) then key = successor_of(key) end
  if not key or not is_live(key) then return NOT_DONE end
  delete_session(key)
  return DONE
end

-- Without `idle` and `absolute`, the session keeps its lifetime and its position in its
-- user's index. With them, as at a login, both start again.
function operations.rotate(key, new, grace, idle, absolute)
  if not is_live(key) then return NOT_DONE end
  local user = value_of(key, USERNAME)
  local origin = redis.call('HGET', session_of(key), 'origin') or key
  local login = user and not idle and redis.call('ZSCORE', index_of(user), key)
  local since = not user and redis.call('ZSCORE', anonymous, key)
  if user then unindex_user(key, user) else redis.call('ZREM', anonymous, key) end
  delete_stale(new)
  redis.call('RENAME', session_of(key), session_of(new))
  redis.call('ZREM', expiry, key)
  redis.call('SET', rotated_from(key), origin, 'PX', grace)
  redis.call('SET', current_of(origin), new, 'PX', grace)
  redis.call('DEL', rotated_from(new))
  redis.call('HSET', session_of(new), 'origin', origin)
  if idle then
    redis.call('HSET', session_of(new), 'idle', idle, 'absolute_end', now + absolute,
      'created', now)
  end
  if user then index_user(new, user, login) else redis.call('ZADD', anonymous, since or now, new) end
  -- If the absolute timeout ends in this millisecond, `touch` deletes the session, because
  -- PEXPIREAT with a time in the past does. So everything that reads the session comes
  -- before.
  touch(new, 'id_sent_at', now)
  schedule_check(new)
  return DONE
end

function operations.origin(key)
  return redis.call('HGET', session_of(key), 'origin') or redis.call('GET', rotated_from(key))
    or (is_live(key) and key)
end

-- Returns a row per session: its key, its age, the time since its last use, its last client
-- address, its origin and its device. Removes expired sessions from the index.
function operations.sessions_of(user)
  local rows = {}
  for _, key in ipairs(redis.call('ZREVRANGE', index_of(user), 0, -1)) do
    local found = redis.call('HMGET', session_of(key), 'created', 'last_used', 'last_ip',
      'origin', field_of(DEVICE))
    if found[1] then
      local age, idle = math.max(now - found[1], 0), math.max(now - found[2], 0)
      table.insert(rows, { key, age, idle, found[3], found[4] or key, found[5] })
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

-- Adds what a server has counted since its last call: `created=3 ended=0`. PERSIST is only
-- there as a first write that cannot fail when memory is full.
local function add_counts(pending)
  redis.call('PERSIST', counters)
  for event, number in string.gmatch(pending, '(%a[%a_]*)=(%d+)') do
    if number ~= '0' then redis.call('HINCRBY', counters, event, number) end
  end
end

function operations.counters(pending)
  add_counts(pending)
  local counts = redis.call('HMGET', counters, 'created', 'ended', 'expired', 'evicted',
    'rotated', 'rejected_ids')
  table.insert(counts, 1, redis.call('ZCARD', expiry))
  return counts
end

-- Runs up to `max` expiry checks that are due. Returns their number, how many sessions have
-- expired (PTTL returns -2: Redis has deleted the session), and the time. A live session is
-- scheduled for the millisecond after its current end. ZREM comes first, because it works if
-- memory is full; ZADD alone would not.
function operations.sweep(max, pending)
  add_counts(pending)
  local due = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, max)
  local expired = 0
  for _, key in ipairs(due) do
    local left = redis.call('PTTL', session_of(key))
    redis.call('ZREM', expiry, key)
    if left == -2 then
      redis.call('ZREM', anonymous, key)
      expired = expired + 1
    else
      redis.call('ZADD', expiry, now + math.max(left, 0) + 1, key)
    end
  end
  return { #due, expired, now }
end

-- Returns the stored secret; stores the offered one if there is none. A server can start
-- while memory is full if the secret exists already.
function operations.shared_secret(offered)
  local secret = redis.call('GET', prefix .. ':secret')
  if secret then return secret end
  redis.call('SET', prefix .. ':secret', offered)
  return offered
end

if ARGV[2] ~= '0' then evict_anonymous(tonumber(ARGV[2])) end
return operations[ARGV[1]](unpack(ARGV, 3))
