import Nouns
package import Primitives
import Storage

/// What a provider says of a month, beside what the records say: where they differ.
package struct BillingReconciliation: Sendable {
    /// A line of a provider's export. What it does not say is not compared.
    package struct Line: Sendable, Hashable {
        /// As the provider calls it.
        package var model: String
        /// Days since 1970, UTC; nil: the line is of the whole month.
        package var day: Int64?
        package var requests: Int64?
        package var inputTokens: Int64?
        package var outputTokens: Int64?
        package var cost: NanoDollars?

        package init(
            model: String, day: Int64? = nil, requests: Int64? = nil, inputTokens: Int64? = nil, outputTokens: Int64? = nil,
            cost: NanoDollars? = nil
        ) {
            self.model = model
            self.day = day
            self.requests = requests
            self.inputTokens = inputTokens
            self.outputTokens = outputTokens
            self.cost = cost
        }

        fileprivate mutating func add(_ other: Line) {
            requests = Self.sum(requests, other.requests)
            inputTokens = Self.sum(inputTokens, other.inputTokens)
            outputTokens = Self.sum(outputTokens, other.outputTokens)
            cost = Self.sum(cost?.rawValue, other.cost?.rawValue).map { NanoDollars($0) }
        }

        private static func sum(_ a: Int64?, _ b: Int64?) -> Int64? {
            guard let a, let b else { return a ?? b }
            let (sum, overflow) = a.addingReportingOverflow(b)
            return overflow ? .max : sum
        }

        fileprivate var json: JSONValue {
            [
                "requests": requests.map { .int($0) } ?? .null, "input_tokens": inputTokens.map { .int($0) } ?? .null,
                "output_tokens": outputTokens.map { .int($0) } ?? .null, "cost": cost.map { .string($0.decimalString) } ?? .null,
            ]
        }
    }

    /// Which lines speak of the same.
    private struct Key: Hashable, Comparable {
        let model: String
        let day: Int64?

        static func < (a: Key, b: Key) -> Bool { (a.model, a.day ?? 0) < (b.model, b.day ?? 0) }
    }

    /// In what the two of them differ.
    package enum Difference: String, CaseIterable, Sendable {
        /// The provider states what no record speaks of.
        case missingHere = "missing_here"
        /// There are records of what the provider does not state.
        case missingThere = "missing_there"
        case otherAmounts = "other_amounts"

        fileprivate init(_ ours: Line?, _ theirs: Line?) {
            self = ours == nil ? .missingHere : theirs == nil ? .missingThere : .otherAmounts
        }
    }

    package static let maximumLines = 20_000

    package var month: BillingMonth
    /// Nil: of all providers.
    package var providerID: ProviderID?
    package var lines: [Line]
    /// Costs that differ by no more are the same: providers round.
    package var tolerance: NanoDollars

    package init(month: BillingMonth, providerID: ProviderID? = nil, lines: [Line], tolerance: NanoDollars = NanoDollars(0)) {
        self.month = month
        self.providerID = providerID
        self.lines = lines
        self.tolerance = tolerance
    }

    fileprivate func check() throws(DomainError) {
        guard !lines.isEmpty, lines.count <= Self.maximumLines else {
            throw .invalid("lines", "are none or more than \(Self.maximumLines)", remedy: "Send the month's lines, by day and model.")
        }
        for (number, line) in lines.enumerated() {
            guard !line.model.isEmpty, line.model.utf8.count <= 256 else {
                throw .invalid("lines[\(number)].model", "is missing or too long", remedy: "Name the model as the provider does.")
            }
            guard line.day.map(month.days.contains) ?? true else {
                throw .invalid("lines[\(number)].day", "does not lie in \(month.text)", remedy: "Send the lines of this month only.")
            }
        }
    }

    /// - Parameter sums: Of the records, by model and day.
    fileprivate func compare(_ sums: [UsageSums]) -> JSONValue {
        // A model with a line of the whole month is compared by the month.
        let monthly = Set(lines.filter { $0.day == nil }.map(\.model))
        var (theirs, ours): ([Key: Line], [Key: Line]) = ([:], [:])
        for line in lines {
            let key = Key(model: line.model, day: monthly.contains(line.model) ? nil : line.day)
            if theirs[key] == nil { theirs[key] = line } else { theirs[key]?.add(line) }
        }
        for sum in sums {
            guard case .text(let model)? = sum.group.first, !model.isEmpty, case .int(let day)? = sum.group.last else { continue }
            let line = Line(
                model: model, day: day, requests: sum.requests, inputTokens: sum.inputTokens, outputTokens: sum.outputTokens,
                cost: NanoDollars(sum.costNano))
            let key = Key(model: model, day: monthly.contains(model) ? nil : day)
            if ours[key] == nil { ours[key] = line } else { ours[key]?.add(line) }
        }
        let keys = Set(theirs.keys).union(ours.keys).sorted()
        let differences = keys.filter { differ(ours[$0], theirs[$0]) }
        func total(_ lines: [Key: Line]) -> Int64 {
            Int64(clamping: lines.values.reduce(Int128(0)) { $0 + Int128($1.cost?.rawValue ?? 0) })
        }
        let (our, their) = (total(ours), total(theirs))
        return [
            "month": .string(month.text), "provider_id": .optional(providerID?.rawValue), "compared": .int(Int64(keys.count)),
            "differing": .int(Int64(differences.count)),
            "kinds": .object(
                JSONObject(
                    members: Difference.allCases.map { kind in
                        let count = differences.count { Difference(ours[$0], theirs[$0]) == kind }
                        return .init(name: kind.rawValue, value: .int(Int64(count)))
                    })), "recorded_cost": .string(NanoDollars(our).decimalString),
            "stated_cost": .string(NanoDollars(their).decimalString),
            "difference": .string(NanoDollars(Int64(clamping: Int128(their) - Int128(our))).decimalString),
            "differences": .array(
                differences.map { key in
                    [
                        "kind": .string(Difference(ours[key], theirs[key]).rawValue),
                        "model": .string(key.model), "day": .optional(key.day.map(BillingMonth.text(ofDay:))),
                        "recorded": ours[key]?.json ?? .null, "stated": theirs[key]?.json ?? .null,
                    ]
                }),
        ]
    }

    private func differ(_ ours: Line?, _ theirs: Line?) -> Bool {
        guard let ours, let theirs else { return true }
        func differ(_ a: Int64?, _ b: Int64?) -> Bool { b != nil && a != b }
        if differ(ours.requests, theirs.requests) || differ(ours.inputTokens, theirs.inputTokens) { return true }
        if differ(ours.outputTokens, theirs.outputTokens) { return true }
        guard let cost = theirs.cost else { return false }
        let difference = Int128(cost.rawValue) - Int128(ours.cost?.rawValue ?? 0)
        return difference.magnitude > UInt128(max(0, tolerance.rawValue))
    }
}

extension Billing {
    /// Puts what a provider states beside what the records say, by the provider's names of models and days of UTC. A request is dated by its
    /// admission, so one that ends after midnight may be a provider's next day's.
    package func reconcile(_ statement: BillingReconciliation) async throws -> JSONValue {
        try statement.check()
        var filter = UsageFilter(
            from: statement.month.milliseconds.lowerBound * 1000, to: statement.month.milliseconds.upperBound * 1000)
        if let provider = statement.providerID { filter[.provider] = .text(provider.rawValue) }
        let query = UsageSumsQuery(filter, by: [.column(.upstreamModel), .day], limit: BillingReconciliation.maximumLines)
        let sums = try await domain.report(as: .all) { try query.run($0).rows }
        return statement.compare(sums)
    }
}
