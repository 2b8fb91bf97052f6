-- What the sessions' store does inside Redis, where a script runs as a whole and nothing else runs
-- meanwhile. A call names one of the operations at the bottom, and gives it its arguments:
--
--   EVALSHA <hash of this file> 1 {dustdevil} get <key of the session> <name>
--
-- There are five kinds of keys, and all begin with the prefix. It stands in braces, which a cluster
-- takes to mean that all of them belong on one node; so one script may use them together.
--
--   {dustdevil}:session:<key>   a hash: the session. It vanishes by itself when its time is up.
--   {dustdevil}:moved:<key>     the key that a session has moved to, for as long as that is told
--   {dustdevil}:user:<name>     a sorted set: the keys of a user's sessions, the latest login last
--   {dustdevil}:calendar        a sorted set: the keys of all sessions, by when to look at them
--   {dustdevil}:counters        a hash: what has happened
--
-- When Redis has no room left, it refuses a script whose first write may grow something, and lets
-- all others finish. So whatever sets a value writes that first, and is refused; reading, moving
-- and ending a session go on.

local prefix = KEYS[1]
local calendar = prefix .. ':calendar'
local counters = prefix .. ':counters'

-- The only clock that all servers share is that of Redis. In milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- What a write answers.
local DONE, NOT_DONE, TOO_LARGE = 1, 0, -1

local function session_of(key) return prefix .. ':session:' .. key end
local function moved_from(key) return prefix .. ':moved:' .. key end
local function list_of(user) return prefix .. ':user:' .. user end

-- Values stand in a session's hash beside what the store keeps there for itself.
local function field_of(name) return 'value:' .. name end

-- The names that src/session/store.rs gives a meaning.
local USERNAME, DEVICE = 'username', 'device'

-- What a value takes of its session's room: its bytes, its name's, and those that hold them.
local function cost(name, value) return #name + #value + 32 end

local function count(what, by) redis.call('HINCRBY', counters, what, by or 1) end

local function lives(key) return redis.call('EXISTS', session_of(key)) == 1 end

-- `false` if there is none, as Redis has it.
local function value_of(key, name)
  return redis.call('HGET', session_of(key), field_of(name))
end

-- Marks a session as used, and writes down what else is new. Without the PERSIST, the first write
-- would be one that may grow something.
local function touch(key, ...)
  local session = session_of(key)
  local limits = redis.call('HMGET', session, 'idle', 'end')
  redis.call('PERSIST', session)
  redis.call('HSET', session, 'used', now, ...)
  redis.call('PEXPIREAT', session, math.min(now + limits[1], tonumber(limits[2])))
end

-- Puts a session down in the calendar. Being used makes it last longer and does not move it there:
-- when it is looked at, it is put down again.
local function schedule(key)
  redis.call('ZADD', calendar, now + redis.call('PTTL', session_of(key)), key)
end

local function strike(key, user) redis.call('ZREM', list_of(user), key) end

-- Puts a session on its user's list, at its end or where it was before. The list vanishes when the
-- last session on it must have ended. Sessions that vanish stay on it; so each login looks at eight,
-- from anywhere, and strikes those that are gone.
local function enlist(key, user, order)
  local list = list_of(user)
  redis.call('ZADD', list, order or redis.call('HINCRBY', counters, 'logins', 1), key)
  local last = tonumber(redis.call('HGET', session_of(key), 'end'))
  if redis.call('PTTL', list) < last - now then redis.call('PEXPIREAT', list, last) end
  local from = time[2] % math.max(redis.call('ZCARD', list), 1)
  for _, other in ipairs(redis.call('ZRANGE', list, from, from + 7)) do
    if not lives(other) then strike(other, user) end
  end
end

local function put(key, name, value, limit)
  local session = session_of(key)
  local old = value_of(key, name)
  local bytes = redis.call('HGET', session, 'bytes') + cost(name, value)
  if old then bytes = bytes - cost(name, old) end
  if bytes > tonumber(limit) then return TOO_LARGE end
  redis.call('HSET', session, field_of(name), value, 'bytes', bytes)
  if name == USERNAME and value ~= old then
    if old then strike(key, old) end
    enlist(key, value)
  end
  return DONE
end

local function take(key, name)
  local old = value_of(key, name)
  if old then
    redis.call('HDEL', session_of(key), field_of(name))
    redis.call('HINCRBY', session_of(key), 'bytes', -cost(name, old))
    if name == USERNAME then strike(key, old) end
  end
  return old
end

local function drop(key)
  local user = value_of(key, USERNAME)
  if user then strike(key, user) end
  redis.call('DEL', session_of(key))
  redis.call('ZREM', calendar, key)
end

-- Keys are random, and no two are the same. But what is left of a session that vanished may be
-- in the calendar still.
local function make_room(key)
  if redis.call('ZSCORE', calendar, key) then
    local was_live = lives(key)
    drop(key)
    count(was_live and 'ended' or 'expired')
  end
end

-- The operations: those of the trait `Store` in src/session/store.rs, which says what they do. Where
-- there is no such session, they give nothing back unless they say something else.
local operations = {}

function operations.create(key, idle, absolute, place, name, value, limit)
  if lives(key) then return NOT_DONE end
  if cost(name, value) > tonumber(limit) then return TOO_LARGE end
  make_room(key)
  redis.call('HSET', session_of(key), 'idle', idle, 'end', now + absolute, 'began', now,
    'told', now, 'place', place, 'bytes', 0)
  put(key, name, value, limit)
  touch(key)
  schedule(key)
  count('created')
  return DONE
end

-- Gives the value, whether to tell the client its id again, the idle limit, and what is left of
-- the absolute one. Without a session: whether it has moved, as 0 or 1.
function operations.visit(key, place, name)
  if not lives(key) then
    -- Without room it is not counted, and the answer is the same.
    redis.pcall('HINCRBY', counters, 'refused', 1)
    return redis.call('EXISTS', moved_from(key))
  end
  local found = redis.call('HMGET', session_of(key), field_of(name), 'idle', 'end', 'told')
  local value, idle, left = found[1], tonumber(found[2]), found[3] - now
  local renew = now - found[4] >= idle / 10
  touch(key, 'place', place, 'told', renew and now or found[4])
  return { value, renew and 1 or 0, idle, math.max(left, 0) }
end

function operations.get(key, name)
  if not lives(key) then return end
  touch(key)
  return { value_of(key, name) }
end

function operations.set(key, name, value, limit)
  if not lives(key) then return end
  local answer = put(key, name, value, limit)
  touch(key)
  return answer
end

function operations.remove(key, name)
  if not lives(key) then return end
  local old = take(key, name)
  touch(key)
  return { old }
end

-- Without an `expected`, no value is expected.
function operations.compare_and_set(key, name, value, limit, expected)
  if not lives(key) then return end
  local answer = NOT_DONE
  if value_of(key, name) == (expected or false) then answer = put(key, name, value, limit) end
  touch(key)
  return answer
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
  if not lives(key) then return end
  touch(key)
  return names_in(key)
end

function operations.clear(key)
  if not lives(key) then return end
  for _, name in ipairs(names_in(key)) do take(key, name) end
  touch(key)
  return DONE
end

-- One that has moved is followed. That comes to an end: no key that is lived under has moved.
function operations.destroy(key)
  while key and not lives(key) do key = redis.call('GET', moved_from(key)) end
  if not key then return NOT_DONE end
  drop(key)
  count('ended')
  return DONE
end

-- Without an `idle` and an `absolute`, its time goes on, and it keeps its place on its user's list.
function operations.rotate(key, new, remember, idle, absolute)
  if not lives(key) then return NOT_DONE end
  local user = value_of(key, USERNAME)
  local order = user and not idle and redis.call('ZSCORE', list_of(user), key)
  if user then strike(key, user) end
  make_room(new)
  redis.call('RENAME', session_of(key), session_of(new))
  redis.call('ZREM', calendar, key)
  redis.call('SET', moved_from(key), new, 'PX', remember)
  redis.call('DEL', moved_from(new))
  if idle then
    redis.call('HSET', session_of(new), 'idle', idle, 'end', now + absolute, 'began', now)
  end
  if user then enlist(new, user, order) end
  -- From here on it may have vanished: its time may be up in this very millisecond.
  touch(new, 'told', now)
  schedule(new)
  count('rotated')
  return DONE
end

function operations.successors(key)
  local moves = {}
  key = redis.call('GET', moved_from(key))
  while key do
    table.insert(moves, key)
    key = redis.call('GET', moved_from(key))
  end
  return moves
end

-- Gives, of each session: its key, its age, for how long nobody used it, its place and its device.
function operations.sessions_of(user)
  local listed = {}
  for _, key in ipairs(redis.call('ZREVRANGE', list_of(user), 0, -1)) do
    local found =
      redis.call('HMGET', session_of(key), 'began', 'used', 'place', field_of(DEVICE))
    if found[1] then
      local age, unused = math.max(now - found[1], 0), math.max(now - found[2], 0)
      table.insert(listed, { key, age, unused, found[3], found[4] })
    else
      strike(key, user)
    end
  end
  return listed
end

function operations.sessions_over_limit(user, most)
  local beyond, live = {}, 0
  -- A login asks this, and seldom is there anything to look for.
  if redis.call('ZCARD', list_of(user)) <= tonumber(most) then return beyond end
  for _, key in ipairs(redis.call('ZREVRANGE', list_of(user), 0, -1)) do
    if lives(key) then
      live = live + 1
      if live > tonumber(most) then table.insert(beyond, key) end
    else
      strike(key, user)
    end
  end
  return beyond
end

function operations.counters()
  local answer = redis.call('HMGET', counters, 'created', 'ended', 'expired', 'rotated', 'refused')
  table.insert(answer, 1, redis.call('ZCARD', calendar))
  return answer
end

-- Looks at some of the sessions that are due, and gives how many there were.
function operations.sweep(most)
  local due = redis.call('ZRANGEBYSCORE', calendar, '-inf', now, 'LIMIT', 0, most)
  for _, key in ipairs(due) do
    local left = redis.call('PTTL', session_of(key))
    redis.call('ZREM', calendar, key)
    if left == -2 then
      count('expired')
    else
      redis.call('ZADD', calendar, now + math.max(left, 0) + 1, key)
    end
  end
  return #due
end

-- Gives the secret that was put down first.
function operations.shared_secret(offered)
  local secret = redis.call('GET', prefix .. ':secret')
  if secret then return secret end
  redis.call('SET', prefix .. ':secret', offered)
  return offered
end

return operations[ARGV[1]](unpack(ARGV, 2))
