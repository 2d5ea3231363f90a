/// Exchanges that wait for the journal's next write, in memory that is used again and again.
struct PendingExchanges {
    private var waiting = Taken()
    private var spare = Taken()

    /// Each exchange as it was when it asked: a connection goes on to its next request while the answer of a lost one is under way.
    struct Taken {
        fileprivate var items: [(exchange: Exchange, serial: UInt64)] = []

        func forEach(_ body: (Exchange) -> Void) {
            for (exchange, serial) in items where serial == exchange.serial { body(exchange) }
        }
    }

    var isEmpty: Bool { waiting.items.isEmpty }

    mutating func append(_ exchange: Exchange) { waiting.items.append((exchange, exchange.serial)) }

    /// Hands out what waits; those that come meanwhile wait for the next write.
    mutating func take() -> Taken {
        var taken = Taken()
        swap(&taken, &spare)
        swap(&taken, &waiting)
        return taken
    }

    /// Takes back the memory of what was handed out.
    mutating func reuse(_ taken: consuming Taken) {
        taken.items.removeAll(keepingCapacity: true)
        spare = taken
    }
}
