/// Exchanges that wait for what may take some time, in the order in which they came.
struct ParkedExchanges {
    struct Item {
        let exchange: Exchange
        fileprivate let serial: UInt64
        fileprivate let since: Int64

        /// False: its connection has gone on to another request.
        var isCurrent: Bool { serial == exchange.serial }
    }

    private var items: [Item] = []

    var isEmpty: Bool { items.isEmpty }

    /// - Parameter since: monotonic microseconds.
    mutating func append(_ exchange: Exchange, since: Int64) {
        items.append(Item(exchange: exchange, serial: exchange.serial, since: since))
    }

    /// It waits on, and has waited for as long as before.
    mutating func putBack(_ item: Item) { items.append(item) }

    mutating func takeAll() -> [Item] {
        defer { items.removeAll(keepingCapacity: true) }
        return items
    }

    /// Those that came before a time, and those whose exchange does not wait any more.
    mutating func takeOver(before time: Int64) -> [Item] {
        let over = items.filter { $0.since < time || !$0.isCurrent }
        if !over.isEmpty { items.removeAll { $0.since < time || !$0.isCurrent } }
        return over
    }
}
