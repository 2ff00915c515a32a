-- One step of gateway/shared_counters.py: changes first, then all claims or none of them. It reads no clock but Valkey's own.
-- KEYS: who is alive; the counters of changes; the counters of claims.
-- ARGV: process, 1 if Valkey knew it when it last asked or 0, slots a minute, slots a second, seconds to be alive, number of
-- changes; {kind, amount, at, lasts} for each
-- change; {kind, amount, most or -1, start, lasts, 1 if on top of the claim before or 0} for each claim.
-- Where Valkey forgot a process that it knew, nothing is done: what is here lacks what was counted before.
-- Answers {place of the refused claim or 0, milliseconds to wait or -1, slot, 1 if this process was not known, processes alive,
-- used of each claim...}.

local process, slots, a_second, lives, changes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local second = tonumber(time[1])
local exact = (second + tonumber(time[2]) / 1000000) * a_second
local now = math.floor(exact)
local FORGOTTEN = math.ceil(slots / a_second) * 2
local HOUR = 3600

if ARGV[2] == '1' and not redis.call('ZSCORE', KEYS[1], process) then return {0, 0, now, 1, 0} end
local forgotten = redis.call('ZADD', KEYS[1], second, process)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', second - HOUR)

local function slots_of(key, first, last)
    local names = {}
    for slot = first, last do names[#names + 1] = slot end
    return names, #names > 0 and redis.call('HMGET', key, unpack(names)) or {}
end

-- Drops what is older than a minute. A clock that was set back makes all that is known count as taken now.
local function taken_lately(key)
    local known = redis.call('HMGET', key, 'total', 'oldest', 'newest')
    if not known[1] then return 0 end
    local total, oldest, newest = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
    if newest > now then
        redis.call('DEL', key)
        redis.call('HSET', key, 'total', total, 'oldest', now, 'newest', now, now, total)
        redis.call('EXPIRE', key, FORGOTTEN)
        return total
    end
    local first = now - slots
    if oldest < first then
        local names, amounts = slots_of(key, oldest, math.min(first - 1, newest))
        for _, amount in ipairs(amounts) do total = total - (tonumber(amount or 0) or 0) end
        redis.call('HDEL', key, unpack(names))
        redis.call('HSET', key, 'total', total, 'oldest', first)
    end
    return total
end

local function take_lately(key, amount)
    redis.call('HSETNX', key, 'oldest', now)
    redis.call('HINCRBY', key, now, amount)
    redis.call('HINCRBY', key, 'total', amount)
    redis.call('HSET', key, 'newest', now)
    redis.call('EXPIRE', key, FORGOTTEN)
end

local function free_in(key, total, amount, most)
    local known = redis.call('HMGET', key, 'oldest', 'newest')
    if not known[1] then return -1 end
    local names, amounts = slots_of(key, tonumber(known[1]), tonumber(known[2]))
    for place, slot in ipairs(names) do
        total = total - (tonumber(amounts[place] or 0) or 0)
        if total + amount <= most then return math.ceil((slot + slots + 1 - exact) * 1000 / a_second) end
    end
    return -1
end

-- Of processes that are alive; those of one that died free themselves.
local function held(key)
    local sum, fields = 0, redis.call('HGETALL', key)
    for place = 1, #fields, 2 do
        local seen = redis.call('ZSCORE', KEYS[1], fields[place])
        if not seen then redis.call('HDEL', key, fields[place])
        elseif tonumber(seen) >= second - lives then sum = sum + math.max(0, tonumber(fields[place + 1])) end
    end
    return sum
end

local function used_of(kind, key, start)
    if kind == 'rate' then return taken_lately(key) end
    if kind == 'held' then return held(key) end
    return math.max(tonumber(redis.call('GET', key) or 0), tonumber(start))
end

local function change(kind, key, amount, at, lasts)
    if kind == 'rate' then
        taken_lately(key)
        if amount >= 0 then return take_lately(key, amount) end
        local there = tonumber(redis.call('HGET', key, at) or 0) or 0
        amount = math.max(amount, -there)
        if amount ~= 0 then
            redis.call('HINCRBY', key, at, amount)
            redis.call('HINCRBY', key, 'total', amount)
        end
    elseif kind == 'held' then
        if redis.call('HINCRBY', key, process, amount) < 0 then redis.call('HSET', key, process, 0) end
        redis.call('EXPIRE', key, HOUR)
    elseif kind == 'holds' then
        redis.call('HSET', key, process, amount)
        redis.call('EXPIRE', key, HOUR)
    elseif redis.call('EXISTS', key) == 1 then
        redis.call('INCRBY', key, amount)
        redis.call('EXPIRE', key, lasts)
    end
end

local place = 7
for number = 1, changes do
    change(ARGV[place], KEYS[1 + number], tonumber(ARGV[place + 1]), ARGV[place + 2], ARGV[place + 3])
    place = place + 4
end

local claims, used, refused, longest = {}, {}, 0, 0
for number = 2 + changes, #KEYS do
    local kind, amount, most = ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
    local so_far = used_of(kind, KEYS[number], ARGV[place + 3])
    local below = ARGV[place + 5] == '1' and used[#used] or 0
    claims[#claims + 1] = {kind, KEYS[number], amount, so_far, ARGV[place + 4]}
    used[#used + 1] = so_far
    if most >= 0 and below + so_far + amount > most then
        local wait = -1
        if kind == 'rate' then wait = free_in(KEYS[number], so_far, amount, most)
        elseif kind == 'held' and below + amount <= most then wait = 1000 end
        if refused == 0 or (longest >= 0 and (wait < 0 or wait > longest)) then refused, longest = #used, wait end
    end
    place = place + 6
end
if refused == 0 then
    for number, claim in ipairs(claims) do
        local kind, key, amount, so_far, lasts = unpack(claim)
        if amount == 0 then used[number] = so_far
        elseif kind == 'rate' then take_lately(key, amount)
        elseif kind == 'held' then change('held', key, amount)
        else redis.call('SET', key, so_far + amount, 'EX', lasts) end
        used[number] = so_far + amount
    end
end
return {refused, longest, now, forgotten, redis.call('ZCOUNT', KEYS[1], second - lives, '+inf'), unpack(used)}
