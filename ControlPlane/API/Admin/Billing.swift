import Domain
import HTTPTypes
import Nouns
import Primitives

/// What tenants owe and have paid: the month's bill, the ledger, statements, and what a provider says beside it.
package struct BillingRoutes: RouteGroup {
    let billing: Billing

    package func addRoutes(to table: inout RouteTable) {
        table.report("/admin/api/billing", .admin(.readUsage), BillingDocs.month) { request in
            let query = request.query
            try query.allow(Set(BillingDocs.month.query.map(\.name)))
            let word = query["group_by"] ?? "user"
            guard let group = Billing.Group(word: word) else {
                throw DomainError.invalid(
                    "group_by", "cannot group by this", remedy: "Pass one of: \(Billing.Group.words.joined(separator: ", ")).")
            }
            return .json(
                try await billing.month(
                    try BillingMonth(parameter: query["month"]), by: group, tenantID: query.id("tenant_id"), as: request.actor.scope))
        }
        table.report("/admin/api/billing/entries", .admin(.readUsage), BillingDocs.entries) { request in
            try request.query.allow(Set(BillingDocs.entries.query.map(\.name)))
            let order = try request.query["sort"].map(LedgerOrder.init(word:)) ?? .newestFirst
            return .list(
                try await billing.ledger.entries(
                    tenantID: request.query.id("tenant_id"), kind: request.query["kind"], request.page(of: order.list), sortedBy: order,
                    as: request.actor.scope)
            ) { $0.json }
        }
        table.report("/admin/api/billing/balance", .admin(.readUsage), BillingDocs.balance(forTenant: false)) { request in
            try request.query.allow(["tenant_id"])
            return .json(try await billing.ledger.balance(of: try Self.tenant(request), as: request.actor.scope).json)
        }
        table.report("/admin/api/billing/statement", .admin(.readUsage), BillingDocs.statement(forTenant: false)) { request in
            try request.query.allow(Set(BillingDocs.statement(forTenant: false).query.map(\.name)))
            return try await request.statement(billing, of: try Self.tenant(request), as: request.actor.scope)
        }
        table.report("/admin/api/billing/invoice", .admin(.readUsage), BillingDocs.invoice(forTenant: false)) { request in
            try request.query.allow(["tenant_id", "month"])
            return try await request.invoice(billing, of: try Self.tenant(request), as: request.actor.scope)
        }
        table.report("/admin/api/billing/keys", .admin(.readUsage), BillingDocs.keys(forTenant: false)) { request in
            try request.query.allow(["tenant_id"])
            return .json(["items": .array(try await billing.signers(of: try Self.tenant(request), as: request.actor.scope))])
        }
        table.post("/admin/api/billing/top-ups", .admin(.price), BillingDocs.topUp) { request in
            .json(try await billing.ledger.topUp(try Self.posting(request), by: request.actor).json, status: .created)
        }
        table.post("/admin/api/billing/adjustments", .admin(.price), BillingDocs.adjustment) { request in
            .json(try await billing.ledger.adjust(try Self.posting(request, corrects: true), by: request.actor).json, status: .created)
        }
        table.post("/admin/api/billing/reconcile", .admin(.read), BillingDocs.reconcile, upTo: 8 << 20) { request in
            .json(try await billing.reconcile(try Self.reconciliation(request)))
        }
    }

    private static func tenant(_ request: APIRequest) throws(DomainError) -> TenantID {
        // An administrator of one tenant has only that one.
        let (named, own) = (try request.query.id("tenant_id", as: TenantID.self), try request.actor.tenantID)
        guard let id = named ?? own else {
            throw .invalid("tenant_id", "is missing", remedy: "Say whose it shall be.")
        }
        return id
    }

    private static func posting(_ request: APIRequest, corrects: Bool = false) throws -> LedgerPosting {
        try request.fields { fields in
            LedgerPosting(
                tenantID: fields.identifier("tenant_id"), amount: fields.dollars("amount"), reference: fields.optionalString("reference"),
                description: fields.string("description", or: ""), correctsID: corrects ? fields.optionalString("corrects_id") : nil)
        }
    }

    private static func reconciliation(_ request: APIRequest) throws -> BillingReconciliation {
        let provider: ProviderID?
        let (month, tolerance, lines): (String, NanoDollars, [(line: BillingReconciliation.Line, day: String?)])
        (month, provider, tolerance, lines) = try request.fields { fields in
            (
                fields.string("month"), fields.optionalIdentifier("provider_id"), fields.dollars("tolerance", or: NanoDollars(0)),
                fields.objects("lines", Self.line) ?? []
            )
        }
        let known = try BillingMonth(parameter: month)
        return BillingReconciliation(
            month: known, providerID: provider,
            lines: try lines.enumerated().map { number, line in
                var line = line.line
                if let day = lines[number].day {
                    guard let time = RFC3339.milliseconds(day + "T00:00:00Z") else {
                        throw DomainError.invalid("lines[\(number)].day", "is no day", remedy: "Write it like 2026-11-21.")
                    }
                    line.day = time / 86_400_000
                }
                return line
            }, tolerance: tolerance)
    }

    private static func line(_ fields: FieldReader) -> (line: BillingReconciliation.Line, day: String?) {
        func count(_ name: String) -> Int64? { fields.has(name) ? fields.integer(name, in: 0...Int64.max) : nil }
        let line = BillingReconciliation.Line(
            model: fields.string("model"), requests: count("requests"), inputTokens: count("input_tokens"),
            outputTokens: count("output_tokens"), cost: fields.has("cost") ? fields.dollars("cost") : nil)
        return (line, fields.optionalString("day"))
    }
}

extension APIRequest {
    /// `?month=&format=json|csv|jsonl&posted_until=`.
    func statement(_ billing: Billing, of tenantID: TenantID, as scope: TenantScope) async throws -> APIResponse {
        let format = try usageFormat
        let statement = try await billing.ledger.statement(
            of: tenantID, month: try BillingMonth(parameter: query["month"]), postedUntil: try query.time("posted_until"), as: scope)
        guard let format else { return .json(statement.json) }
        return APIResponse(
            status: .ok, headers: [.contentType: format.contentType],
            body: format.lines(statement.objects, columns: BillingStatement.columns, withTitles: true))
    }
}

extension APIRequest {
    /// `?month=`, as JSON lines, one part after the other.
    func invoice(_ billing: Billing, of tenantID: TenantID, as scope: TenantScope) async throws -> APIResponse {
        let invoice = try await billing.invoice(of: tenantID, month: try BillingMonth(parameter: query["month"]), as: scope)
        return try await .streamed(contentType: UsageFormat.jsonl.contentType, after: nil) { after in
            let place = (after?.time ?? 0) + 1
            guard let lines = try await invoice.next() else { return ([], nil) }
            return (lines, Cursor(list: "invoice", time: place, id: ""))
        }
    }
}

/// What is said of them.
enum BillingDocs {
    private static func told(_ name: String, _ kind: FieldKind, _ about: String, nullable: Bool = false) -> FieldShape {
        .told(name, kind, about, nullable: nullable)
    }

    private static func required(_ shape: FieldShape) -> FieldShape {
        var shape = shape
        shape.isRequired = true
        return shape
    }

    private static let words = Shapes.words
    private static let number = FieldKind.number
    private static let tenantID = FieldShape(
        "tenant_id", .id(TenantKind.prefix), "Whose; an administrator of one tenant need not say it.")
    private static let monthField = required(FieldShape("month", .text(maximum: 7), "A month of UTC: 2026-11."))

    static let month = RouteDocs(
        "What a month's requests cost, and whom: by user, or by what group_by says; then `items` stands in the place of `users`."
    ) {
        $0.query = [
            monthField, tenantID,
            FieldShape("group_by", .text(maximum: 80), "One of: \(Billing.Group.words.joined(separator: ", "))."),
        ]
        $0.answer = .anything
    }

    private static let entry: [FieldShape] = [
        told("id", words, "Its identifier."), told("tenant_id", .id(TenantKind.prefix), "Whose ledger it stands in."),
        told("kind", .word(LedgerEntry.kinds), "What it is."),
        told("day", words, "The day of UTC that it counts for."), told("posted_at", .time, "When it was posted."),
        told("amount_nano", number, "By how many nano-dollars the balance changes."), told("amount", .dollars, "The same in dollars."),
        told("reference", words, "Names it among the tenant's entries of its kind."), told("description", words, "What it is for."),
        told("corrects_id", words, "The entry that it puts right.", nullable: true),
        told(
            "actor", .object([told("id", words, "Of the administrator."), told("name", words, "What people call it.")]), "Who posted it."),
        told(
            "lines",
            .objects(
                [
                    told("account", .word(LedgerEntry.accounts), "Of the tenant's."),
                    told("amount_nano", number, "A credit is positive, a debit negative; an entry's lines come to 0."),
                    told("amount", .dollars, "The same in dollars."), told("requests", number, "Of usage."),
                    told("project_id", words, "Of usage.", nullable: true), told("model", words, "Of usage.", nullable: true),
                ], maximum: 100_000), "Where it came from and where it went."),
    ]

    static let entries = RouteDocs(
        "List the ledger's entries, newest first where nothing else is said. They are never edited: what was wrong is put right by others."
    ) {
        $0.query =
            RouteDocs.page + [
                tenantID, FieldShape("kind", .word(LedgerEntry.kinds), "Only these."),
                FieldShape(
                    "sort", .word(LedgerOrder.words), "By when they were posted, or by the day that they count for; a minus turns it round."
                ) { $0.standard = .string(LedgerOrder.newestFirst.rawValue) },
            ]
        $0.answer = .list(entry)
    }

    static func balance(forTenant: Bool) -> RouteDocs {
        RouteDocs("What a tenant has left; below zero: what it owes.") {
            $0.query = forTenant ? [] : [tenantID]
            $0.answer = .object([
                told("tenant_id", .id(TenantKind.prefix), "Whose."),
                told("balance_nano", number, "Nano-dollars, what was used until now deducted."),
                told("balance", .dollars, "The same in dollars."), told("received", .dollars, "Paid by the tenant, in all."),
                told("adjustments", .dollars, "Given to it, or taken, by corrections."), told("usage", .dollars, "Used, in all."),
            ])
        }
    }

    static func statement(forTenant: Bool) -> RouteDocs {
        RouteDocs("A month's statement: the balance before, each line that counts for the month, the balance after. They add up.") {
            $0.query =
                (forTenant ? [] : [tenantID]) + [
                    monthField,
                    FieldShape("format", .word(["json"] + UsageFormat.allCases.map(\.rawValue)), "csv and jsonl are lines only.") {
                        $0.standard = "json"
                    },
                    FieldShape("posted_until", .time, "Only what was posted before: the statement as it was then."),
                ]
            $0.answer = .anything
            $0.otherTypes = ["text/csv", "application/jsonl"]
        }
    }

    static func invoice(forTenant: Bool) -> RouteDocs {
        RouteDocs("A month's statement with every record that it charges, in the chains that data planes signed: see docs/invoices.md.") {
            $0.query = (forTenant ? [] : [tenantID]) + [monthField]
            $0.answer = .anything
            $0.otherTypes = ["application/jsonl"]
        }
    }

    static func keys(forTenant: Bool) -> RouteDocs {
        RouteDocs("The public keys of the data planes that sign, or may sign, a tenant's records: what invoices are verified with.") {
            $0.query = forTenant ? [] : [tenantID]
            $0.answer = .object([
                told(
                    "items",
                    .objects(
                        [
                            told("kind", words, "key"), told("data_plane_id", .id(DataPlaneKind.prefix), "Whose it is."),
                            told("data_plane", words, "What people call it."),
                            told("public_key", words, "Ed25519, 32 bytes in Base64."),
                        ], maximum: 10_000), "One for each data plane.")
            ])
        }
    }

    private static let posting: [FieldShape] = [
        required(tenantID), required(FieldShape("amount", .dollars, "In dollars: \"25.00\".")),
        FieldShape("reference", .text(maximum: 255), "Names it for good, such as a payment's number: posted again, it is the same entry."),
        FieldShape("description", .text(maximum: 500), "What it is for."),
    ]

    static let topUp = RouteDocs("Post a payment that came in.") {
        $0.body = .form(posting)
        $0.answer = .object(entry)
        $0.status = 201
    }

    static let adjustment = RouteDocs("Post a correction; with a minus it is taken from the tenant.") {
        $0.body = .form(posting + [FieldShape("corrects_id", .text(maximum: 64), "The entry that it puts right.")])
        $0.answer = .object(entry)
        $0.status = 201
    }

    static let reconcile = RouteDocs("Put a provider's export beside the records, and list where they differ.") {
        $0.body = .form([
            monthField, FieldShape("provider_id", .id(ProviderKind.prefix), "Only what was sent to it."),
            FieldShape("tolerance", .dollars, "Costs of a line that differ by no more are the same."),
            required(
                FieldShape(
                    "lines",
                    .objects(
                        [
                            required(FieldShape("model", .text(maximum: 256), "As the provider calls it.")),
                            FieldShape("day", .text(maximum: 10), "Of UTC: 2026-11-21; without it the line is of the month."),
                            FieldShape("requests", .integer(0...Int64.max), "What is not given is not compared."),
                            FieldShape("input_tokens", .integer(0...Int64.max), "Cached ones included."),
                            FieldShape("output_tokens", .integer(0...Int64.max), "Reasoning included."),
                            FieldShape("cost", .dollars, "In dollars."),
                        ], maximum: BillingReconciliation.maximumLines), "Of the export.")),
        ])
        $0.answer = .anything
    }
}
