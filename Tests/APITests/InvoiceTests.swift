import Contract
import Domain
import Foundation
import Nouns
import Primitives
import Storage
import SwiftProtobuf
import Telemetry
import Testing
import Trust

@testable import weir

/// Bills that prove themselves: what a data plane signed, from its batches to the file that a tenant verifies.
@Suite("Invoices")
struct InvoiceTests {
    static let january: Int64 = 1_798_761_600_000
    static let february: Int64 = 1_801_440_000_000

    /// Two tenants, two data planes, and January: some records of December before, one of February behind, all signed.
    struct Month {
        let customers: UsageRoutesTests.Customers
        var first: SigningPlane
        var second: SigningPlane
        let intake: UsageIntake
        private let h: ControlHarness

        init(_ h: ControlHarness, signed: Bool = true) async throws {
            self.h = h
            customers = try await UsageRoutesTests.Customers(h)
            first = SigningPlane(id: "dp_firstfirstfirst2")
            second = SigningPlane(id: "dp_secondsecondse")
            for plane in [first, second] { try await plane.enrol(h) }
            intake = UsageIntake(h.services.domain, metrics: h.metrics)
            let (january, february) = (InvoiceTests.january, InvoiceTests.february)
            h.clock.set(milliseconds: january - 3_600_000)
            try await store(first.batch([record(1, at: january - 7_200_000)], signedAt: january - 3_600_000))
            h.clock.set(milliseconds: january + 86_400_000)
            try await store(
                first.batch([record(2, at: january + 1), record(3, of: 1, at: january + 5), record(4, at: january + 9)], signedAt: nil))
            try await store(
                first.batch([record(5, at: january + 86_400_000), record(6, at: january + 86_400_001)], signedAt: january + 90_000_000))
            try await store(
                second.batch([record(7, at: january + 77), record(8, of: 1, at: january + 78)], signedAt: january + 90_000_000))
            h.clock.set(milliseconds: february + 1000)
            guard signed else { return }
            try await store(first.batch([record(9, at: february + 1)], signedAt: february + 1000))
            try await store(second.batch([], signedAt: february + 1000))
        }

        func record(_ number: UInt64, of customer: Int = 0, at milliseconds: Int64, cost: Int64 = 1_000_000_007) -> Weir_V1_UsageRecord {
            var record = Weir_V1_UsageRecord()
            record.requestID = Data(RequestID(high: 77, low: number).bytes)
            record.tenantID = customers.tenants[customer]
            record.projectID = customers.projects[customer]
            record.keyID = customers.keyIDs[customer]
            record.model = "gpt"
            record.configVersion = 1
            record.capability = .chat
            record.channel = "default"
            record.admittedAtUs = milliseconds * 1000
            record.status = .completed
            record.inputTokens = 10
            record.costNano = cost
            record.providerID = "prov_nobodysbusiness"
            record.latencyUs = 1234
            return record
        }

        @discardableResult
        func store(_ batch: Weir_V1_UsageBatch, by plane: SigningPlane? = nil) async throws -> Weir_V1_UsageAck {
            let id = plane?.id ?? (batch.records.first.map { [7, 8].contains($0.requestID.last ?? 0) } ?? true ? second.id : first.id)
            return try await intake.store(dataPlaneID: id, batch: batch)
        }

        func invoice(of customer: Int = 0, month: String = "2027-01") async throws -> [JSONValue] {
            let answer = try await h.get("/admin/api/billing/invoice?month=\(month)&tenant_id=\(customers.tenants[customer])", as: .billing)
            #expect(answer.status == 200, "\(answer.text)")
            return try answer.text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        }

        var keys: [String: [UInt8]] { [first.id: first.key.publicKey, second.id: second.key.publicKey] }
    }

    static func verify(
        _ lines: [JSONValue], pinned: [String: [UInt8]]? = nil, earlier: [ChainName: InvoiceVerifier.Ending] = [:]
    ) throws(InvoiceFault) -> InvoiceReport {
        var verifier = InvoiceVerifier(pinned: pinned, earlier: earlier)
        for line in lines { try verifier.take(line.bytes) }
        try verifier.finish()
        return verifier.report
    }

    private static func fault(_ lines: [JSONValue], pinned: [String: [UInt8]]? = nil) -> InvoiceFault? {
        do {
            _ = try verify(lines, pinned: pinned)
            return nil
        } catch { return error }
    }

    @Test("prove what is charged, to each tenant its own", arguments: TestDatabases.all)
    func proved(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            let month = try await Month(h)
            // Five records of January by Customers itself are charged, and nobody signed them.
            for (customer, charged, unsigned) in [(0, 5, 5), (1, 2, 2)] as [(Int, Int64, Int64)] {
                let lines = try await month.invoice(of: customer)
                let report = try Self.verify(lines, pinned: month.keys)
                #expect(report.charged == InvoiceSum(requests: charged, nano: charged * 1_000_000_007))
                #expect(report.unsigned == InvoiceSum(requests: unsigned, nano: unsigned * 1_500_000_000) && report.chains.count == 2)
                #expect(report.chains.allSatisfy { $0.isClosed } && report.open.count == 1, "\(report.open)")
                let bill = try await h.get("/admin/api/billing?month=2027-01&group_by=tenant").json["items"]?.arrayValue ?? []
                let total = bill.first { $0["tenant_id"]?.stringValue == month.customers.tenants[customer] }?["total_cost"]?.stringValue
                #expect(total.flatMap { NanoDollars(decimal: $0)?.rawValue } == report.charged.nano + report.unsigned.nano)
                // Neither the other tenant nor where the requests went.
                let text = lines.map { line in
                    line.text + (line["bill"]?.stringValue.flatMap { Base64.decode($0) }.map { String(decoding: $0, as: UTF8.self) } ?? "")
                }.joined()
                #expect(!text.contains(month.customers.tenants[1 - customer]) && !text.contains("prov_nobodysbusiness"))
            }
            let december = try Self.verify(try await month.invoice(month: "2026-12"), pinned: month.keys)
            #expect(december.charged == InvoiceSum(requests: 1, nano: 1_000_000_007) && december.isWhole, "\(december.open)")
            // Both months together, the later one read with the ends of the earlier.
            let january = try await month.invoice()
            _ = try Self.verify(january, pinned: month.keys, earlier: december.endings)
            let other = december.endings.mapValues { InvoiceVerifier.Ending(number: $0.number, link: Digest256.of(Array("x".utf8))) }
            #expect(throws: InvoiceFault.self) { try Self.verify(january, earlier: other) }
            // A key with the right to sees the same file and the same keys.
            let key = try await h.create(
                "/admin/api/keys", ["project_id": .string(month.customers.projects[0]), "name": "all", "rights": ["tenant:read"]])
            let token = key.json["key"]?.stringValue
            let own = try await h.get("/external/v1/billing/invoice?month=2027-01", as: nil, token: token)
            #expect(try Self.verify(own.text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }).charged.requests == 5)
            let keys = try await h.get("/external/v1/billing/keys", as: nil, token: token).json["items"]?.arrayValue ?? []
            #expect(keys.contains { $0["public_key"]?.stringValue == Base64.encode(month.first.key.publicKey) })
            #expect(try await h.get("/external/v1/billing/invoice?month=2027-01", as: nil, token: month.customers.keys[0]).status == 403)
            // Both forms of the statement name the heads.
            let path = "/admin/api/billing/statement?month=2027-01&tenant_id=\(month.customers.tenants[0])"
            for format in ["csv", "jsonl"] {
                let text = try await h.get(path + "&format=\(format)").text
                #expect(text.contains("\(month.first.id)/i") && text.contains("\(month.second.id)/i"), "\(text)")
            }
        }
    }

    @Test("a line that was added, dropped, changed or moved is found, and named")
    func tampered() async throws {
        try await ControlHarness.run(on: try #require(TestDatabases.all.first)) { h in
            let month = try await Month(h)
            let whole = try await month.invoice()
            let records = whole.indices.filter { whole[$0]["kind"] == "record" }
            let heads = whole.indices.filter { whole[$0]["kind"] == "head" }
            #expect(records.count == 6 && heads.count == 3 && Self.fault(whole) == nil)
            func changed(_ line: Int, _ name: String, _ value: JSONValue) -> [JSONValue] {
                var lines = whole
                var object = lines[line].objectValue ?? JSONObject()
                object[name] = value
                lines[line] = .object(object)
                return lines
            }
            func without(_ line: Int) -> [JSONValue] { Array(whole[..<line]) + whole[(line + 1)...] }
            func bill(_ line: Int, _ change: (inout Weir_V1_UsageRecord) -> Void) throws -> [JSONValue] {
                var record = try Weir_V1_UsageRecord(serializedBytes: Base64.decode(whole[line]["bill"]?.stringValue ?? "") ?? [])
                change(&record)
                return changed(line, "bill", .string(Base64.encode(try record.serializedBytes() as [UInt8])))
            }
            var found: [(String, Int?, [JSONValue])] = []
            for (name, place) in [("first", 0), ("middle", 2), ("last", 5)] {
                found.append(("the \(name) record dropped", nil, without(records[place])))
                found.append(("the \(name) record doubled", records[place] + 1, Array(whole[...records[place]]) + whole[records[place]...]))
            }
            var swapped = whole
            swapped.swapAt(records[1], records[2])
            found.append(("two records swapped", records[1], swapped))
            var renumbered = swapped
            for line in [records[1], records[2]] {
                var object = renumbered[line].objectValue ?? JSONObject()
                object["number"] = whole[line]["number"] ?? .null
                renumbered[line] = .object(object)
            }
            found.append(("two records swapped and numbered anew", nil, renumbered))
            found.append(("one nano-dollar more charged than signed", records[1], changed(records[1], "charged_nano", 1_000_000_008)))
            found.append(("one nano-dollar less, and the statement as it was", nil, changed(records[1], "charged_nano", 1_000_000_006)))
            found.append(("a digit of a signed cost", nil, try bill(records[1]) { $0.costNano += 10 }))
            found.append(("a token of a signed record", nil, try bill(records[2]) { $0.inputTokens += 1 }))
            found.append(("a record moved to another tenant", records[2], try bill(records[2]) { $0.tenantID = "ten_other" }))
            let rest = whole[records[0]]["rest"]?.stringValue ?? ""
            found.append(
                ("a digit of the rest", nil, changed(records[0], "rest", .string((rest.first == "0" ? "1" : "0") + rest.dropFirst()))))
            found.append(("the day that it counts for", records[1], changed(records[1], "day", "2027-01-09")))
            found.append(("a charge made a repetition", nil, changed(records[1], "state", "repeated")))
            // Between the opening head and the records of its chain.
            var early = whole
            early[heads[1]] = whole[heads[0]]
            found.append(("a head of last month put in", heads[1], early))
            found.append(("a head's time", heads[1], changed(heads[1], "signed_at_ms", .int(Self.february + 2000))))
            found.append(("the closing head dropped", nil, without(heads[1])))
            let chains = whole.indices.filter { whole[$0]["kind"] == "chain" }
            found.append(("a chain of another data plane", nil, changed(chains[0], "data_plane_id", .string(month.second.id))))
            found.append(("a chain told shorter", nil, changed(chains[0], "last", 3)))
            found.append(("another life", nil, changed(chains[1], "incarnation", "j")))
            let usage = try #require(whole.firstIndex { $0["kind"] == "usage" })
            found.append(("a line of the statement dropped", nil, without(usage)))
            found.append(("a line of the statement changed", usage, changed(usage, "amount", "-0.01")))
            let unsigned = try #require(whole.firstIndex { $0["kind"] == "unsigned" })
            found.append(("more charged without a record", nil, changed(unsigned, "charged_nano", 9)))
            found.append(("whose it is", nil, changed(0, "tenant_id", .string(month.customers.tenants[1]))))
            found.append(("the end cut off", whole.count - 1, without(whole.count - 1)))
            found.append(("cut off in the middle", records[3], Array(whole[..<records[3]])))
            found.append(("a line behind the end", whole.count, whole + [whole[records[0]]]))
            for (name, line, lines) in found {
                let fault = Self.fault(lines, pinned: month.keys)
                // Without its last head nothing is false: the chain is open, and that is said.
                if name == "the closing head dropped" {
                    #expect(fault == nil || fault?.line ?? 0 > 0, "\(name)")
                    let count = Self.fault(lines)
                    #expect(count?.text.contains("lines before the end") == true, "\(name): \(count?.text ?? "nothing")")
                    continue
                }
                #expect(fault != nil, "\(name) was not found")
                if let line { #expect(fault?.line == line + 1, "\(name): line \(fault?.line ?? 0) \(fault?.text ?? "")") }
            }
            #expect(Self.fault(whole, pinned: [month.first.id: month.first.key.publicKey])?.text.contains(month.second.id) == true)
            let forged = [month.first.id: IdentityKey().publicKey, month.second.id: month.second.key.publicKey]
            #expect(Self.fault(whole, pinned: forged)?.text.contains("not the one that is known") == true)
        }
    }

    @Test("what is not signed yet is named, and what was kept apart is charged by its release only", arguments: TestDatabases.all)
    func openAndApart(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var month = try await Month(h, signed: false)
            var strange = month.record(20, at: Self.january + 1000)
            strange.model = "unheard-of"
            var negative = month.record(21, at: Self.january + 1001, cost: -5)
            negative.outputTokens = -1
            var discarded = month.record(22, at: Self.january + 1002)
            discarded.configVersion = 99
            let again = month.record(2, at: Self.january + 1)
            try await month.store(month.first.batch([strange, negative, discarded, again]), by: month.first)
            var report = try Self.verify(try await month.invoice(), pinned: month.keys)
            #expect(report.charged == InvoiceSum(requests: 6, nano: 5 * 1_000_000_007) && report.uncharged == 3)
            #expect(report.chains.map(\.isClosed) == [false, false])
            #expect(report.open.contains { $0.contains("records 6 to 9 are not signed yet") }, "\(report.open)")

            try await month.store(month.first.batch([], signedAt: Self.february + 5), by: month.first)
            for (verb, reason) in [("release", "unknown_model"), ("discard", "unknown_config_version")] {
                let answer = try await h.post(
                    "/admin/api/usage/quarantine/\(verb)", ["data_plane_id": .string(month.first.id), "reason": .string(reason)])
                #expect(answer.status == 200, "\(answer.text)")
            }
            let lines = try await month.invoice()
            report = try Self.verify(lines, pinned: month.keys)
            #expect(report.charged == InvoiceSum(requests: 7, nano: 6 * 1_000_000_007) && report.uncharged == 2)
            let states = lines.compactMap { $0["state"]?.stringValue }
            #expect(states.contains("discarded"))
            #expect(!report.open.contains { $0.contains("not signed yet") })
        }
    }

    @Test("a signature that does not go with the records is noticed when it comes, and so is a copied disk", arguments: TestDatabases.all)
    func broken(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var month = try await Month(h)
            // Signed, and one record of it never came.
            _ = try month.first.batch([month.record(30, at: Self.february + 7)])
            var skipped = try month.first.batch([month.record(31, at: Self.february + 8)], signedAt: Self.february + 9)
            skipped.sequence -= 1
            #expect(try await month.store(skipped, by: month.first).storedSequence == skipped.sequence)
            // Not signed by this data plane.
            var forged = try month.second.batch([month.record(7_000, at: Self.february + 9)], signedAt: Self.february + 9)
            forged.heads[0].signature[3] ^= 1
            try await month.store(forged, by: month.second)
            let text = h.metrics.text
            #expect(text.contains(#"weir_usage_chain_breaks_total{reason="other_number"} 1"#), "\(text)")
            #expect(text.contains(#"weir_usage_chain_breaks_total{reason="bad_signature"} 1"#))
            let findings = try await h.get("/admin/api/status").json["findings"]?.arrayValue ?? []
            #expect(findings.count { $0["code"] == "usage_chain_broken" } == 2)
            let lines = try await month.invoice(month: "2027-02")
            #expect(throws: InvoiceFault.self) { try Self.verify(lines, pinned: month.keys) }

            // Two processes on copies of one disk: what the second one numbers alike is not stored, and it is told so.
            let sent = try month.second.batch([month.record(40, at: Self.february + 50)])
            #expect(try await month.store(sent, by: month.second).forkedSequence == 0)
            #expect(try await month.store(sent, by: month.second).forkedSequence == 0)
            var copy = sent
            copy.records = [month.record(41, at: Self.february + 51)]
            #expect(try await month.store(copy, by: month.second).forkedSequence == sent.sequence)
            #expect(h.metrics.text.contains("weir_usage_forks_total 1"))
        }
    }

    @Test("a head that is signed and goes further than any chain is none, and the next records are taken", arguments: TestDatabases.all)
    func endless(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var month = try await Month(h)
            for (number, sequence) in [(Int64.max, UInt64(90)), (UsageChain.mostRecords + 1, 91)] {
                var batch = try month.first.batch([month.record(sequence, at: Self.february + 7)])
                let signed = try UsageHead(
                    dataPlaneID: month.first.id, incarnation: month.first.incarnation, tenantID: month.customers.tenants[0], number: number,
                    link: .of([1]), signedAt: Self.february + 8
                ).signed(by: month.first.key)
                var head = Weir_V1_UsageHead()
                head.tenantID = signed.tenantID
                head.number = UInt64(number)
                head.link = Data(signed.link.bytes)
                head.signedAtMs = signed.signedAt
                head.signature = Data(signed.signature)
                batch.heads = [head]
                #expect(try await month.store(batch, by: month.first).storedSequence == batch.sequence)
            }
            let last = try month.first.batch([month.record(92, at: Self.february + 9)], signedAt: Self.february + 10)
            #expect(try await month.store(last, by: month.first).storedSequence == last.sequence)
            #expect(try Self.verify(try await month.invoice(month: "2027-02"), pinned: month.keys).charged.requests == 4)
        }
    }

    @Test("an invoice whose numbers are at the end of all integers is false, and traps nothing")
    func edges() async throws {
        let kind = try #require(TestDatabases.all.first)
        try await ControlHarness.run(on: kind) { h in
            let month = try await Month(h)
            var lines = try await month.invoice()
            let place = try #require(lines.firstIndex { $0["kind"] == "chain" })
            guard case .object(var chain) = lines[place] else { return }
            (chain["first"], chain["last"]) = (.int(.max), .int(.max))
            lines[place] = .object(chain)
            #expect(throws: InvoiceFault.self) { try Self.verify(lines, pinned: month.keys) }
        }
    }

    @Test("a chain that a release before did not follow goes on from the next signed head", arguments: TestDatabases.all)
    func unfollowed(kind: TestDatabase) async throws {
        try await ControlHarness.run(on: kind) { h in
            var month = try await Month(h)
            let batch = try month.first.batch([month.record(50, at: Self.february + 60)])
            try await month.store(batch, by: month.first)
            // As that release leaves it: the batch is stored, and in no chain.
            let id = month.first.id
            try await h.database.transaction { c in
                try c.execute("DELETE FROM usage_signed WHERE first_number = 7")
                try c.execute("UPDATE usage_watermarks SET followed = followed - 1 WHERE data_plane_id = $1", [.text(id)])
            }
            try await month.store(
                month.first.batch([month.record(51, at: Self.february + 61)], signedAt: Self.february + 100), by: month.first)
            try await month.store(
                month.first.batch([month.record(52, at: Self.february + 200)], signedAt: Self.february + 300), by: month.first)
            #expect(!h.metrics.text.contains(#"weir_usage_chain_breaks_total{reason="other_number"} 1"#))
            let january = try Self.verify(try await month.invoice(), pinned: month.keys)
            #expect(january.chains.allSatisfy { $0.isClosed })
            // Of February two records are in no chain: not proved, whichever way it is told.
            let february = try await month.invoice(month: "2027-02")
            #expect(throws: InvoiceFault.self) { try Self.verify(february, pinned: month.keys) }
        }
    }
}
