import Crypto
import Primitives

/// What runs in Redis, each time as one step: nothing of another data plane's comes in between. The time is Redis's own, in microseconds,
/// so that no data plane's clock matters; where that clock is put back, a counter goes by the last time it has seen, and begins anew when it is
/// off by more than its window. Keys expire when nothing is in them any more.
///
/// - A sliding window is a hash: how much was had in each slot (a 256th of the window, on a grid), the first and last slot, the sum. What was had
///   counts until the last microsecond of its slot is out of the window: in no window of that length is there more than was let in, and what
///   was had counts for at most a 256th of the window too long.
/// - A token bucket is a hash: what is missing in it, when. In doubles: right to a millionth of a request, and of what is large to 1 in 10^15.
/// - What runs at one time is a sorted set of leases: who, until when (milliseconds).
enum CounterScript: CaseIterable {
    /// Holds a request against all of its limits, or counts nothing.
    ///
    /// KEYS: a counter each. ARGV: who; then for each its kind (w, b, c), how much, the span (of a lease, for c), how much there may be, how much
    /// comes back in a span (b), 1 where it only observes. Answers the time and 1 where it refuses; then for each how long to wait (0: not at
    /// all, -1: it never will be), what is used (this request included where it is let in), and until when that lasts.
    case take
    /// What became of a request. ARGV, for each key: w and b, how much more or less; span; when it was had (w), or how much comes back in a
    /// span (b); r, a lease ends, or l, it goes on: 0, span, 0, who.
    case amend

    var text: String {
        switch self {
        case .take: Self.takeText
        case .amend: Self.amendText
        }
    }

    /// By which EVALSHA knows it.
    var digest: String {
        switch self {
        case .take: Self.takeDigest
        case .amend: Self.amendDigest
        }
    }

    private static let takeDigest = sha1(takeText)
    private static let amendDigest = sha1(amendText)
    private static func sha1(_ text: String) -> String { Hex.encode(Array(Insecure.SHA1.hash(data: Array(text.utf8)))) }

    private static let takeText =
        #"""
        local t = redis.call('TIME')
        local clock = t[1] * 1000000 + t[2]
        local reply, writes = {clock, 0}, {}
        for i, key in ipairs(KEYS) do
          local a = 2 + (i - 1) * 6
          local kind, n, span = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
          local most, refill, observes = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]), ARGV[a + 5] == '1'
          local wait, used, reset = 0, 0, 0
          if kind == 'w' then
            local grain = math.max(1, math.ceil(span / 256))
            local f = redis.call('HMGET', key, 'head', 'last', 'used')
            local head, last, now = tonumber(f[1]), tonumber(f[2]), clock
            used = tonumber(f[3]) or 0
            if head and last then
              now = math.max(clock, last * grain)
              local first = math.floor((now - span + 1) / grain)
              if first > last or last * grain > clock + span then
                redis.call('DEL', key)
                head, used, now = nil, 0, clock
              elseif first > head then
                local gone = {}
                for slot = head, first - 1 do gone[#gone + 1] = string.format('%.0f', slot) end
                for _, v in ipairs(redis.call('HMGET', key, unpack(gone))) do used = used - (tonumber(v) or 0) end
                redis.call('HDEL', key, unpack(gone))
                redis.call('HSET', key, 'head', first, 'used', used)
                head = first
              end
            end
            local slot = math.floor(now / grain)
            if not head then head, last = slot, slot end
            local excess = used + n - most
            if n > most then
              wait = -1
            elseif excess > 0 then
              local slots = {}
              for s = head, last do slots[#slots + 1] = string.format('%.0f', s) end
              for k, v in ipairs(redis.call('HMGET', key, unpack(slots))) do
                excess = excess - (tonumber(v) or 0)
                if excess <= 0 then
                  wait = math.max(1, (head + k) * grain - 1 + span - now)
                  break
                end
              end
            end
            writes[i] = function()
              redis.call('HSET', key, 'head', head, 'last', slot)
              redis.call('HINCRBY', key, string.format('%.0f', slot), n)
              redis.call('HINCRBY', key, 'used', n)
              redis.call('PEXPIRE', key, math.ceil((span + grain) / 1000) + 1000)
              return used + n, (slot + 1) * grain - 1 + span - now
            end
            if used > 0 then reset = math.max(0, (last + 1) * grain - 1 + span - now) end
          elseif kind == 'b' then
            local f = redis.call('HMGET', key, 'debt', 'at')
            local debt, at = tonumber(f[1]) or 0, tonumber(f[2]) or clock
            if at > clock + span then debt, at = 0, clock end
            local now = math.max(clock, at)
            debt = math.max(0, debt - (now - at) * refill / span)
            local excess = debt + n - most
            if n > most then wait = -1 elseif excess > 1e-6 then wait = math.max(1, math.ceil(excess * span / refill)) end
            used, reset = math.ceil(debt - 1e-6), math.ceil(debt * span / refill)
            writes[i] = function()
              debt = debt + n
              local full = math.ceil(debt * span / refill)
              redis.call('HSET', key, 'debt', string.format('%.17g', debt), 'at', now)
              redis.call('PEXPIRE', key, math.min(math.ceil(full / 1000) + 1000, 1e11))
              return math.ceil(debt - 1e-6), full
            end
          else
            redis.call('ZREMRANGEBYSCORE', key, '-inf', clock / 1000)
            used = redis.call('ZCARD', key)
            if used + 1 > most then wait = 1000000 end
            writes[i] = function()
              redis.call('ZADD', key, clock / 1000 + span / 1000, ARGV[1])
              redis.call('PEXPIRE', key, math.ceil(span / 1000) + 1000)
              return used + 1, 0
            end
          end
          if wait ~= 0 and not observes then reply[2] = 1 end
          local p = 3 + (i - 1) * 3
          reply[p], reply[p + 1], reply[p + 2] = wait, used, reset
        end
        if reply[2] == 0 then
          for i = 1, #KEYS do
            local p = 3 + (i - 1) * 3
            reply[p + 1], reply[p + 2] = writes[i]()
          end
        end
        return reply
        """#

    private static let amendText =
        #"""
        local t = redis.call('TIME')
        local clock = t[1] * 1000000 + t[2]
        for i, key in ipairs(KEYS) do
          local a = 1 + (i - 1) * 5
          local kind, n, span, at, who = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), ARGV[a + 4]
          if kind == 'w' then
            local grain = math.max(1, math.ceil(span / 256))
            if n < 0 then
              local slot = string.format('%.0f', math.floor(at / grain))
              local back = math.min(-n, tonumber(redis.call('HGET', key, slot)) or 0)
              if back > 0 then
                redis.call('HINCRBY', key, slot, -back)
                redis.call('HINCRBY', key, 'used', -back)
              end
            else
              local last = tonumber(redis.call('HGET', key, 'last'))
              local slot = math.floor(clock / grain)
              if last and last * grain <= clock + span then slot = math.max(slot, last) else redis.call('DEL', key) end
              redis.call('HSETNX', key, 'head', slot)
              redis.call('HSET', key, 'last', slot)
              redis.call('HINCRBY', key, string.format('%.0f', slot), n)
              redis.call('HINCRBY', key, 'used', n)
              redis.call('PEXPIRE', key, math.ceil((span + grain) / 1000) + 1000)
            end
          elseif kind == 'b' then
            local f = redis.call('HMGET', key, 'debt', 'at')
            local debt = math.max(0, (tonumber(f[1]) or 0) + n)
            redis.call('HSET', key, 'debt', string.format('%.17g', debt), 'at', f[2] or clock)
            redis.call('PEXPIRE', key, math.min(math.ceil(debt * span / at / 1000) + 1000, 1e11))
          elseif kind == 'r' then
            redis.call('ZREM', key, who)
          else
            redis.call('ZADD', key, clock / 1000 + span / 1000, who)
            redis.call('PEXPIRE', key, math.ceil(span / 1000) + 1000)
          end
        end
        return 1
        """#
}
