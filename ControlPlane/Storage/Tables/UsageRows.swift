/// The columns of a usage record that are worked with by their place, in the order of `UsageRow.columns`.
package enum UsagePlace {
    package static let requestID = 0
    package static let dataPlaneID = 1
    package static let incarnation = 2
    package static let sequence = 3
    package static let position = 4
    package static let admittedAt = 5
    package static let receivedAt = 6
    package static let tenantID = 7
    package static let projectID = 8
    package static let keyID = 9
    package static let model = 10
    package static let routeID = 11
    package static let capability = 12
    package static let channel = 13
    package static let streaming = 14
    package static let configVersion = 15
    package static let estimatedInputTokens = 16
    package static let requestBytes = 17
    package static let traceID = 18
    package static let status = 19
    package static let errorOrigin = 20
    package static let errorCode = 21
    package static let httpStatus = 22
    package static let upstreamStatus = 23
    package static let inputTokens = 24
    package static let outputTokens = 25
    package static let cachedInputTokens = 26
    package static let cacheWriteTokens = 27
    package static let reasoningTokens = 28
    package static let flags = 29
    package static let costNano = 30
    package static let reratedCostNano = 31
    package static let latency = 32
    package static let timeToFirstByte = 33
    package static let attempts = 34
    package static let responseBytes = 35
    package static let endpointID = 36
    package static let providerID = 37
    package static let credentialID = 38
    package static let upstreamModel = 39
    package static let priceID = 40
    package static let sentUpstream = 41
    package static let appID = 42
    package static let userID = 43
    package static let did = 44
    package static let dialect = 45
    package static let tags = 46
    package static let ownerID = 48
}

extension UsageRow {
    private static let blobs: Set = ["request_id", "trace_id", "attempt_list"]
    /// By what a new row holds in them.
    private static let kinds: [PackedRows.Kind] = zip(columns, UsageRow().values).map { column, value in
        if blobs.contains(column) { return .blob }
        if case .text = value { return .text }
        return .int
    }

    /// For many of them, none yet.
    package static func packed() -> PackedRows { PackedRows(columns: columns, kinds: kinds) }

    package func append(to rows: inout PackedRows) throws { try rows.append(values) }

    private static let names = SQLRow.Columns(columns)

    package init(packed rows: PackedRows, _ place: Int) throws {
        try self.init(SQLRow(columns: Self.names, values: rows.values(place)))
    }
}

/// What the same sums count together, of records that were just stored.
package struct UsageGroupSums: Sendable {
    /// A record of each group, an hour's at most; the groups in one order always, whatever the records' order was.
    package private(set) var first: [Int] = []
    /// When the group's keys were used last, Unix milliseconds.
    package private(set) var lastUse: [Int64] = []
    /// In the order of `UsageDailyTable.sums`, group after group; saturating.
    private var amounts: [Int64] = []

    static let width = 14
    /// In the order in which groups are sorted.
    private static let places = [
        UsagePlace.tenantID, UsagePlace.projectID, UsagePlace.keyID, UsagePlace.model, UsagePlace.status, UsagePlace.dataPlaneID,
        UsagePlace.configVersion, UsagePlace.appID, UsagePlace.userID, UsagePlace.did, UsagePlace.tags, UsagePlace.dialect,
        UsagePlace.priceID,
    ]

    package init(_ rows: PackedRows, at stored: [Int]) {
        var table = [Int32](repeating: -1, count: 64)
        var last: Int?
        for row in stored {
            if let last, Self.isSame(rows, first[last], row) {
                add(rows, row, to: last)
                continue
            }
            var place = Int(truncatingIfNeeded: Self.hash(rows, row)) & (table.count - 1)
            while table[place] >= 0, !Self.isSame(rows, first[Int(table[place])], row) { place = (place + 1) & (table.count - 1) }
            if table[place] < 0 {
                table[place] = Int32(truncatingIfNeeded: first.count)
                first.append(row)
                lastUse.append(0)
                amounts.append(contentsOf: repeatElement(0, count: Self.width))
            }
            let group = Int(table[place])
            add(rows, row, to: group)
            last = group
            if first.count * 2 > table.count { table = grown(rows, table.count * 4) }
        }
        order(rows)
    }

    package func sums(_ group: Int) -> ArraySlice<Int64> { amounts[group * Self.width..<(group + 1) * Self.width] }

    private func grown(_ rows: PackedRows, _ size: Int) -> [Int32] {
        var table = [Int32](repeating: -1, count: size)
        for (group, row) in first.enumerated() {
            var place = Int(truncatingIfNeeded: Self.hash(rows, row)) & (size - 1)
            while table[place] >= 0 { place = (place + 1) & (size - 1) }
            table[place] = Int32(truncatingIfNeeded: group)
        }
        return table
    }

    /// What has the same values at some places within the same time is one; as rows of a table, keys before sums, in one order always.
    /// - Parameter length: of that time, microseconds.
    func summed(_ rows: PackedRows, each length: Int64, _ places: [Int]) -> [[SQLValue]] {
        var sums: [[Int64]: Int] = [:]
        var found: [(first: Int, amounts: [Int64])] = []
        for group in first.indices {
            let row = first[group]
            let key = [rows[row, UsagePlace.admittedAt] / length] + places.map { rows[row, $0] }
            if let place = sums[key] {
                found[place].amounts.addSaturating(self.sums(group))
            } else {
                sums[key] = found.count
                found.append((row, Array(self.sums(group))))
            }
        }
        return found.sorted { Self.precedes(rows, $0.first, $1.first, length, places) }.map { group in
            [.int(rows[group.first, UsagePlace.admittedAt] / length)] + places.map { rows.value(group.first, $0) }
                + group.amounts.map { .int($0) }
        }
    }

    private static func hour(_ rows: PackedRows, _ row: Int) -> Int64 {
        rows[row, UsagePlace.admittedAt] / UsageHourlyTable.microsecondsPerHour
    }

    private static func isSame(_ rows: PackedRows, _ a: Int, _ b: Int) -> Bool {
        for place in places where rows[a, place] != rows[b, place] { return false }
        return hour(rows, a) == hour(rows, b)
    }

    private static func hash(_ rows: PackedRows, _ row: Int) -> UInt64 {
        var hash = UInt64(bitPattern: hour(rows, row))
        for place in places { hash = (hash ^ UInt64(bitPattern: rows[row, place])) &* 0x9E37_79B9_7F4A_7C15 }
        return hash ^ hash >> 32
    }

    private mutating func add(_ rows: PackedRows, _ row: Int, to group: Int) {
        let flags = rows[row, UsagePlace.flags]
        let (status, origin) = (rows[row, UsagePlace.status], rows[row, UsagePlace.errorOrigin])
        let (input, output) = (rows[row, UsagePlace.inputTokens], rows[row, UsagePlace.outputTokens])
        let (cost, rerated) = (rows[row, UsagePlace.costNano], rows[row, UsagePlace.reratedCostNano])
        let isPriced = UsageRow.isPriced(
            flags: flags, isRerated: rerated != PackedRows.null, isCharged: input > 0 || output > 0 || status == 1)
        let start = group * Self.width
        add(start, 1)
        add(start + 1, flags & 1)
        add(start + 2, (flags & 128) / 128)
        add(start + 3, input)
        add(start + 4, output)
        add(start + 5, rows[row, UsagePlace.cachedInputTokens])
        add(start + 6, rows[row, UsagePlace.cacheWriteTokens])
        add(start + 7, rows[row, UsagePlace.reasoningTokens])
        add(start + 8, cost)
        add(start + 9, rerated == PackedRows.null ? cost : rerated)
        add(start + 10, isPriced ? 1 : 0)
        if status == 2, (1...3).contains(origin) { add(start + 10 + Int(origin), 1) }
        // A data plane whose clock is ahead does not use keys in the future.
        lastUse[group] = max(lastUse[group], min(rows[row, UsagePlace.admittedAt] / 1000, rows[row, UsagePlace.receivedAt]))
    }

    private mutating func add(_ place: Int, _ amount: Int64) {
        let (sum, overflow) = amounts[place].addingReportingOverflow(amount)
        amounts[place] = overflow ? .max : sum
    }

    /// Two that add to the same sums at once take them in the same order, and so wait instead of blocking each other.
    private mutating func order(_ rows: PackedRows) {
        let sorted = first.indices.sorted {
            Self.precedes(rows, first[$0], first[$1], UsageHourlyTable.microsecondsPerHour, Self.places)
        }
        amounts = sorted.flatMap { sums($0) }
        lastUse = sorted.map { lastUse[$0] }
        first = sorted.map { first[$0] }
    }

    private static func precedes(_ rows: PackedRows, _ a: Int, _ b: Int, _ length: Int64, _ places: [Int]) -> Bool {
        let times = (rows[a, UsagePlace.admittedAt] / length, rows[b, UsagePlace.admittedAt] / length)
        if times.0 != times.1 { return times.0 < times.1 }
        for place in places where rows[a, place] != rows[b, place] {
            let (one, other) = (rows[a, place], rows[b, place])
            return rows.kinds[place] == .int ? one < other : rows.precedes(one, other)
        }
        return false
    }
}

extension [Int64] {
    fileprivate mutating func addSaturating(_ other: ArraySlice<Int64>) {
        for (index, amount) in zip(indices, other) {
            let (sum, overflow) = self[index].addingReportingOverflow(amount)
            self[index] = overflow ? .max : sum
        }
    }
}
