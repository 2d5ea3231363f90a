import Contract
import Nouns
package import Primitives
import Storage

/// How an endpoint fares at one data plane, or how a provider takes one of its credentials there, by what that data plane said last.
package struct EndpointState: Sendable, Hashable {
    package enum Status: String, Sendable, CaseIterable {
        case ok, failing, unused
        /// Of a credential.
        case refused
    }

    package let dataPlaneID: String
    package let dataPlaneName: String
    package let region: String
    /// Whether the data plane is connected: what one that is not said last may be old.
    package let connected: Bool
    /// Nil for a credential.
    package let endpointID: String?
    package let credentialID: String?
    package let providerID: String
    package let status: Status
    package let since: Int64?
    /// Since the data plane started.
    package let attempts: Int64?
    package let failures: Int64
    /// What went wrong last while it is failing or refused, for people.
    package let last: String?
    /// Whether the data plane sends requests there like to others: closed, open or half_open; nil for a credential.
    package let breaker: String?
    package let reportedAt: Int64

    var isInTrouble: Bool { status == .failing || status == .refused }

    package var json: JSONValue {
        [
            "data_plane_id": .string(dataPlaneID), "data_plane": .string(dataPlaneName), "region": .string(region),
            "connected": .bool(connected), "endpoint_id": .optional(endpointID), "credential_id": .optional(credentialID),
            "provider_id": .string(providerID), "status": .string(status.rawValue), "since": .time(since),
            "attempts": attempts.map(JSONValue.int) ?? .null, "failures": .int(failures), "last": .optional(last),
            "breaker": .optional(breaker), "reported_at": .time(reportedAt),
        ]
    }
}

/// The state of endpoints and credentials over the fleet.
package struct EndpointReportService: Sendable {
    package static let list = "fleet-endpoints"
    /// What is taken of one report: a data plane cannot fill the database.
    static let maximumEntries = 256
    private static let maximumTextLength = 300

    private let fleet: FleetContext

    package init(_ fleet: FleetContext) {
        self.fleet = fleet
    }

    /// A page holds what `limit` data planes said; those that are revoked or never said anything are left out.
    /// - Parameter inTrouble: only what is failing or refused.
    package func list(_ page: PageRequest, region: String? = nil, inTrouble: Bool = false) async throws -> Page<EndpointState> {
        let now = fleet.domain.clock.nowMilliseconds()
        let (planes, states) = try await fleet.read(as: .all) { c in
            let filters: [(column: String, value: SQLValue)] = region.map { [("region", .text($0))] } ?? []
            let rows = try DataPlaneContent.table.list(
                c, matching: filters, order: .newestFirst, after: page.after.map { (.int($0.time), $0.id) }, limit: page.fetchLimit)
            var planes = try rows.map { try DataPlane($0).seen(at: now) }
            try DataPlaneContent.observe(&planes, c)
            var states: [EndpointState] = []
            for plane in planes.prefix(page.limit) where plane.content.standing == .active {
                guard let row = try EndpointReportsTable.find(c, dataPlaneID: plane.id.rawValue) else { continue }
                states += Self.states(plane, row)
            }
            return (planes, states)
        }
        let next = Page(fetched: planes, page) { Cursor(list: Self.list, time: $0.createdAt, id: $0.id.rawValue) }.next
        return Page(items: states.filter { !inTrouble || $0.isInTrouble }, next: next)
    }

    /// What routes that learn have learnt at each data plane: how often an endpoint was tried lately, and how good that was.
    package func arms() async throws -> [JSONValue] {
        let now = fleet.domain.clock.nowMilliseconds()
        return try await fleet.read(as: .all) { c in try Arms.told(c, now: now) }
    }

    private static func entries(_ text: String) -> [JSONValue] { (try? JSONValue(parsing: text))?.arrayValue ?? [] }

    private static func states(_ plane: DataPlane, _ row: EndpointReportRow) -> [EndpointState] {
        func state(_ entry: JSONValue, _ status: EndpointState.Status) -> EndpointState {
            EndpointState(
                dataPlaneID: plane.id.rawValue, dataPlaneName: plane.content.name, region: plane.content.region,
                connected: plane.content.isConnected,
                endpointID: entry["endpoint_id"]?.stringValue, credentialID: entry["credential_id"]?.stringValue,
                providerID: entry["provider_id"]?.stringValue ?? "", status: status, since: entry["since"]?.intValue,
                attempts: entry["attempts"]?.intValue, failures: entry["failures"]?.intValue ?? 0, last: entry["last"]?.stringValue,
                breaker: entry["breaker"]?.stringValue, reportedAt: row.reportedAt)
        }
        let endpoints = entries(row.endpoints).map { entry in
            state(entry, entry["failing"] == true ? .failing : entry["attempts"]?.intValue == 0 ? .unused : .ok)
        }
        return entries(row.credentials).map { state($0, .refused) } + endpoints
    }

    /// An event in the audit log for each credential that a provider has begun to refuse at the data plane, or takes again.
    static func recordRefusals(_ c: any SQLConnection, from before: EndpointReportRow?, to after: EndpointReportRow) throws {
        guard before?.credentials ?? "[]" != after.credentials else { return }
        func refused(_ row: EndpointReportRow?) -> [String: JSONValue] {
            Dictionary(
                entries(row?.credentials ?? "[]").map { ($0["credential_id"]?.stringValue ?? "", $0) },
                uniquingKeysWith: { first, _ in first })
        }
        let (old, new) = (refused(before), refused(after))
        func record(_ verb: String, _ id: String, _ entry: JSONValue) throws {
            // What a data plane says is shown; only of a credential that there is.
            guard try CredentialContent.find(c, id) != nil else { return }
            let told: JSONValue = [
                "data_plane_id": .string(after.dataPlaneID), "provider_id": entry["provider_id"] ?? .null, "last": entry["last"] ?? .null,
            ]
            try AuditLog.record(
                c, .system("data plane \(after.dataPlaneID)"), "credential.\(verb)", id: id, before: nil, after: told, at: after.reportedAt)
        }
        for (id, entry) in new.sorted(by: { $0.key < $1.key }) where old[id] == nil { try record("refused", id, entry) }
        for (id, entry) in old.sorted(by: { $0.key < $1.key }) where new[id] == nil { try record("accepted", id, entry) }
    }

    /// What of a status report is kept. Nothing of it is trusted further than to be shown.
    static func row(_ id: String, _ report: Weir_V1_StatusReport, now: Int64) -> EndpointReportRow {
        let endpoints = report.endpoints.prefix(maximumEntries).map { status -> JSONValue in
            [
                "endpoint_id": .string(cut(status.endpointID)), "provider_id": .string(cut(status.providerID)),
                "failing": .bool(status.failing), "since": status.failing ? .int(status.sinceMs) : .null,
                "attempts": .int(Int64(clamping: status.attempts)), "failures": .int(Int64(clamping: status.failures)),
                "last": status.failing ? .string(cut(status.lastFailure)) : .null,
                "breaker": status.breaker.isEmpty ? .null : .string(cut(status.breaker)),
            ]
        }
        let credentials = report.credentials.prefix(maximumEntries).map { status -> JSONValue in
            [
                "credential_id": .string(cut(status.credentialID)), "provider_id": .string(cut(status.providerID)),
                "since": .int(status.sinceMs), "failures": .int(Int64(clamping: status.refusals)),
                "last": .string(cut(status.lastRefusal)),
            ]
        }
        return EndpointReportRow(
            dataPlaneID: id, endpoints: JSONValue.array(endpoints).text, credentials: JSONValue.array(credentials).text,
            arms: Arms.column(report.arms), reportedAt: now)
    }

    private static func cut(_ text: String) -> String { String(text.prefix(maximumTextLength)) }
}
