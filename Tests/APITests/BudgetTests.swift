import Domain
import HTTPTypes
import Leases
import Nouns
import Primitives
import Storage
import Testing

@Suite("Budgets")
struct BudgetTests {
    private func tenant(_ h: ControlHarness, _ name: String) async throws -> (tenant: String, project: String, key: String) {
        let tenant = try await h.create("/admin/api/tenants", ["name": .string(name)]).id
        let project = try await h.create("/admin/api/projects", ["tenant_id": .string(tenant), "name": "p"]).id
        let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "k"]).id
        return (tenant, project, key)
    }

    @Test("an amount is what its unit counts, and what cannot be meant is refused with what to do", arguments: TestDatabases.all)
    func amounts(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, project, key) = try await self.tenant(h, "Acme")
            let (_, _, foreign) = try await self.tenant(h, "Other")
            func budget(_ members: JSONObject) -> JSONValue {
                var body: JSONObject = ["tenant_id": .string(tenant), "name": "b", "limit": "1"]
                for member in members.members { body[member.name] = member.value }
                return .object(body)
            }
            let refused: [(JSONObject, String)] = [
                (["limit": "-1"], "limit"), (["limit": "1000000.01"], "limit"), (["limit": "ten"], "limit"), (["limit": "1e3"], "limit"),
                (["limit": "0.0000000001"], "limit"), (["unit": "tokens", "limit": "1.5"], "limit"), (["limit": .null], "limit"),
                (["unit": "requests", "limit": "99999999999999999999"], "limit"), (["time_zone": "Mars/Olympus"], "time_zone"),
                (["period": "weekly"], "period"), (["capability": "telepathy"], "capability"),
                (["project_id": .string(project), "key_id": .string(key)], "key_id"), (["key_id": .string(foreign)], "key_id"),
                (["key_id": .string(KeyID.random().rawValue)], "key_id"), (["level": "key"], "level"),
                (["prepaid": true], "prepaid"), (["prepaid": true, "period": "never", "project_id": .string(project)], "prepaid"),
            ]
            for (members, field) in refused {
                let answer = try await h.post("/admin/api/budgets", budget(members))
                #expect(answer.status == 400 && answer.fields == [field], "\(members): \(answer.text)")
            }
            let texts: [(JSONObject, JSONValue)] = [
                (["limit": 10], "10"), (["limit": "10.00"], "10"), (["limit": .number("2.50")], "2.50"),
                (["limit": "0.000000001"], "0.000000001"),
                (["limit": "1000000"], "1000000"), (["unit": "tokens", "limit": 1_000_000_000_000_000], "1000000000000000"),
            ]
            for (index, (members, text)) in texts.enumerated() {
                var members = members
                members["name"] = .string("b\(index)")
                #expect(try await h.create("/admin/api/budgets", budget(members)).json["limit"] == text)
            }
            #expect(try await h.post("/admin/api/budgets", budget(["name": "b0"])).status == 409)
            // What an account is made of stays; how much is in it may change.
            let made = try await h.create("/admin/api/budgets", budget(["key_id": .string(key)]))
            #expect(made.json["level"] == "key" && made.json["kind"] == "hard" && made.json["mode"] == "enforce")
            let path = "/admin/api/budgets/\(made.id)"
            for change: JSONValue in [["unit": "tokens"], ["period": "daily"], ["key_id": .null], ["time_zone": "Europe/Berlin"]] {
                #expect(try await h.send(.patch, path, change, ifMatch: "*").status == 400, "\(change)")
            }
            #expect(try await h.send(.patch, path, ["limit": "7.5", "mode": "observe"], ifMatch: "*").json["limit"] == "7.50")
        }
    }

    @Test("who is bounded is not kept from going, and the budget goes along", arguments: TestDatabases.all)
    func goingAlong(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, project, key) = try await self.tenant(h, "Acme")
            var budgets: [String] = []
            for (name, members) in [("tenant", [:]), ("project", ["project_id": .string(project)]), ("key", ["key_id": .string(key)])]
                as [(String, JSONObject)]
            {
                var body: JSONObject = ["tenant_id": .string(tenant), "name": .string(name), "limit": "1"]
                for member in members.members { body[member.name] = member.value }
                budgets.append(try await h.create("/admin/api/budgets", .object(body)).id)
            }
            func present() async throws -> [String] {
                (try await h.get("/admin/api/budgets").json["items"]?.arrayValue ?? []).compactMap { $0["id"]?.stringValue }.sorted()
            }
            #expect(try await present() == budgets.sorted())
            #expect(try await h.post("/admin/api/keys/\(key)/revoke", nil).status == 200)
            // Its key goes with the project, and the key's budget with the key.
            #expect(try await h.send(.delete, "/admin/api/projects/\(project)", ifMatch: "*").status == 204)
            #expect(try await present() == [budgets[0]])
            #expect(try await h.send(.delete, "/admin/api/tenants/\(tenant)", ifMatch: "*").status == 204)
            #expect(try await present() == [])
            let audit = try await h.get("/admin/api/audit?resource_id=\(budgets[2])")
            #expect(audit.json["items"]?[0]?["action"] == "budget.delete")
        }
    }

    @Test(
        "what is settled, unknown, leased and free is the limit; who is gone is written off, on record and once",
        arguments: TestDatabases.all)
    func states(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, _, _) = try await self.tenant(h, "Acme")
            let budget = try await h.create(
                "/admin/api/budgets",
                [
                    "tenant_id": .string(tenant), "name": "b", "limit": 100, "unit": "tokens", "period": "daily",
                    "time_zone": "Europe/Berlin",
                ])
            let path = "/admin/api/budgets/\(budget.id)"
            let empty = try await h.get("\(path)/state")
            #expect(empty.json["free"] == "100" && empty.json["slices"] == [] && empty.json["forecast"] == .null)
            let ids = try await h.heldSlices(of: budget.id, tenant, [(2, 5, 30), (0, 10, 40), (0, 0, 20)])
            h.clock.advance(milliseconds: 60_000)
            let state = try await h.get("\(path)/state").json
            #expect(state["settled"] == "0" && state["unknown"] == "15" && state["leased"] == "75" && state["free"] == "10")
            #expect(state["data_planes"]?.arrayValue?.count == 3 && state["used_percent"] == 15)
            #expect(state["resets_at"]?.stringValue?.hasSuffix("T23:00:00Z") == true && state["forecast"]?["amount"] != nil)

            let off = "\(path)/slices/\(ids[0])/write-off"
            #expect(try await h.send(.post, off, as: .viewer).status == 403)
            #expect(try await h.post(off, ["charge": "26"]).fields == ["charge"])
            let first = try await h.send(.post, off, idempotencyKey: "k1")
            #expect(first.status == 200 && first.json["leased"] == "50" && first.json["free"] == "35", "\(first.text)")
            #expect(try await h.send(.post, off, idempotencyKey: "k1").json == first.json)
            #expect(try await h.send(.post, off, idempotencyKey: "k2").status == 409)
            let inUse = try await h.post("\(path)/slices/\(ids[2])/write-off", nil)
            #expect(inUse.status == 409 && inUse.text.contains("force"))
            #expect(try await h.post("\(path)/slices/\(ids[2])/write-off", ["force": true]).json["free"] == "55")
            #expect(try await h.post("\(path)/slices/slc_0000000000000fff/write-off", nil).status == 404)

            let resolve = "\(path)/slices/\(ids[1])/resolve"
            for (charge, status) in [("11", 400), ("x", 400), ("4", 200), ("0", 409)] {
                #expect(try await h.post(resolve, ["charge": .string(charge)]).status == status, "\(charge)")
            }
            let decided = try await h.get("\(path)/state").json
            #expect(decided["settled"] == "4" && decided["unknown"] == "5" && decided["free"] == "61" && decided["leased"] == "30")
            let audit = try await h.get("/admin/api/audit?resource_id=\(ids[0])").json["items"]?[0]
            #expect(audit?["action"] == "slice.write_off" && audit?["after"]?["state"] == "written_off")
            #expect(audit?["tenant_id"] == .string(tenant))
        }
    }

    @Test("what is paid in is what a prepaid budget holds, beside the credit that its limit says", arguments: TestDatabases.all)
    func prepaid(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, _, _) = try await self.tenant(h, "Acme")
            let budget = try await h.create(
                "/admin/api/budgets",
                ["tenant_id": .string(tenant), "name": "paid", "limit": "5", "period": "never", "prepaid": true])
            let path = "/admin/api/budgets/\(budget.id)/state"
            #expect(try await h.get(path).json["limit"] == "5.00")
            let paid = try await h.post(
                "/admin/api/billing/top-ups", ["tenant_id": .string(tenant), "amount": "20.50", "reference": "invoice 1"])
            #expect(paid.status == 201, "\(paid.text)")
            #expect(try await h.get(path).json["free"] == "25.50")
        }
    }

    @Test("a key is told of what bounds it, and how much is left as far as its rights reach", arguments: TestDatabases.all)
    func limits(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, project, _) = try await self.tenant(h, "Acme")
            let key = try await h.create("/admin/api/keys", ["project_id": .string(project), "name": "mine", "rights": ["project:read"]])
            for (name, members) in [("all", [:]), ("p", ["project_id": .string(project)]), ("k", ["key_id": .string(key.id)])]
                as [(String, JSONObject)]
            {
                var body: JSONObject = ["tenant_id": .string(tenant), "name": .string(name), "limit": 100, "unit": "requests"]
                for member in members.members { body[member.name] = member.value }
                let budget = try await h.create("/admin/api/budgets", .object(body))
                _ = try await h.heldSlices(of: budget.id, tenant, [(0, 10, 30)])
            }
            let answer = try await h.get("/external/v1/limits", as: nil, token: key.json["key"]?.stringValue)
            #expect(answer.status == 200, "\(answer.text)")
            let items = (answer.json["budgets"]?.arrayValue ?? []).sorted {
                ($0["name"]?.stringValue ?? "") < ($1["name"]?.stringValue ?? "")
            }
            #expect(items.map { $0["name"] } == ["all", "k", "p"])
            #expect(items.map { $0["left"] } == [.null, "70", "70"] && items.map { $0["held"] } == [.null, "30", "30"])
            #expect(items.allSatisfy { $0["resets_at"]?.stringValue != nil })
            #expect(answer.json["rates"] == .array([]))
            // Of three data planes one has told: the others have used half of their thirty at most.
            func suffix(_ id: String) throws -> [UInt8] { try #require(Base32.decode(String(id.dropFirst(4)))) }
            for (name, level) in [("keys", "key"), ("projects", "project"), ("all", "global"), ("users", "user")] {
                let limit = try await h.create(
                    "/admin/api/limits", ["name": .string(name), "level": .string(level), "measure": "requests", "amount": 90])
                let counter = try suffix(limit.id) + [UInt8](repeating: 0, count: 6) + suffix(level == "key" ? key.id : project)
                let now = h.clock.nowMilliseconds()
                try await h.database.transaction { c in
                    let plane = try #require(try DataPlaneContent.all(c).first).id.rawValue
                    try RateSharesTable.put(
                        c, RateShareRow(counter: counter, dataPlaneID: plane, had: 40, ceiling: 60, told: 60, updatedAt: now))
                }
            }
            let rates = try await h.get("/external/v1/limits", as: nil, token: key.json["key"]?.stringValue).json["rates"]?.arrayValue ?? []
            #expect(rates.map { $0["name"] } == ["all", "keys", "projects"])
            #expect(rates.map { $0["used"] } == [.null, 40, 40] && rates.map { $0["left_at_least"] } == [.null, 20, 20])
            #expect(rates.map { $0["as_of"]?.stringValue != nil } == [false, true, true])
            #expect(try await h.get("/external/v1/limits", as: .owner).status == 401)
        }
    }

    @Test("what needs attention of budgets is found, with what to do about it", arguments: TestDatabases.all)
    func findings(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let (tenant, _, _) = try await self.tenant(h, "Acme")
            for (name, unknown) in [("near", 85), ("out", 100)] as [(String, Int64)] {
                let budget = try await h.create(
                    "/admin/api/budgets", ["tenant_id": .string(tenant), "name": .string(name), "limit": 100, "unit": "requests"])
                _ = try await h.heldSlices(of: budget.id, tenant, [(name == "out" ? 2 : 0, unknown, unknown)])
            }
            try await h.database.transaction { c in
                try SpendEventsTable.insert(
                    c,
                    SpendEventRow(
                        id: "evt_a", at: h.clock.nowMilliseconds(), kind: "slice_alarm", tenantID: tenant, budgetID: nil,
                        dataPlaneID: "dp_a",
                        occasion: "a", detail: #"{"finding":"went_back","slice":"slc_1"}"#))
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: DataPlaneID.random().rawValue, name: "eu-1", region: "eu", tenantIDs: [], identityPublicKey: [1],
                        sealingPublicKey: [2], version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: 0))
                try CountersTable.raise(c, FleetCounter.epoch, to: 2)
            }
            let found = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            let codes = Dictionary(found.map { ($0["code"]?.stringValue ?? "", $0) }, uniquingKeysWith: { first, _ in first })
            for code in ["budget_near", "budget_exhausted", "slice_stranded", "slice_alarm", "budgets_recovering"] {
                #expect(codes[code]?["command"]?.stringValue?.hasPrefix("weir ") == true, "\(code): \(codes.keys.sorted())")
            }
            #expect(codes["budget_exhausted"]?["severity"] == "error" && codes["budget_near"]?["severity"] == "warning")
            let events = try await h.get("/admin/api/spend-events?since=2020-01-01T00:00:00Z&kind=slice_alarm&limit=1")
            #expect(events.json["items"]?[0]?["detail"]?["finding"] == "went_back", "\(events.text)")
            #expect(try await h.get("/admin/api/spend-events?kind=party").status == 400)
        }
    }
}

extension ControlHarness {
    /// Slices of a budget's present period, each of another data plane: its state, what is unknown of it, and how much it is. Their ids.
    func heldSlices(of budget: String, _ tenant: String, _ slices: [(state: Int64, unknown: Int64, granted: Int64)]) async throws
        -> [String]
    {
        let now = clock.nowMilliseconds()
        return try await database.transaction { c in
            let content = try #require(try BudgetContent.find(c, budget)).content
            let period = content.period(at: now)
            var account = BudgetAccountRow(
                budgetID: budget, periodStart: period.start, periodEnd: period.end, tenantID: tenant, limit: content.limitUnits ?? 0,
                createdAt: now)
            account.unknown = slices.reduce(0) { $0 + $1.unknown }
            account.leased = slices.reduce(0) { $0 + $1.granted - $1.unknown }
            try BudgetAccountsTable.put(c, account, now: now)
            var ids: [String] = []
            for (index, slice) in slices.enumerated() {
                let plane = DataPlaneID.random().rawValue
                try DataPlanesTable.insert(
                    c,
                    DataPlaneRow(
                        id: plane, name: plane, region: "eu", tenantIDs: [], identityPublicKey: Array(plane.utf8), sealingPublicKey: [2],
                        version: "0.1.0", keyringEpoch: 1, keyringVersion: 1, createdAt: now))
                let id = SliceID(rawValue: Int64.random(in: 1 << 40..<1 << 50) + Int64(index))
                try BudgetSlicesTable.put(
                    c,
                    BudgetSliceRow(
                        id: id?.rawValue ?? 1, budgetID: budget, periodStart: period.start, tenantID: tenant, dataPlaneID: plane, boot: "b",
                        ask: 0, granted: slice.granted, ceiling: slice.granted, spent: 0, unknown: slice.unknown, resolved: 0, charged: 0,
                        state: slice.state, expiresAt: now + 1_000_000, epoch: 1, findings: 0, grantedAt: now), now: now)
                ids.append(id?.text ?? "")
            }
            return ids
        }
    }
}
