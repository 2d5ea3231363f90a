import Contract
package import Nouns
package import Primitives
import Storage

/// What usage can be narrowed to: parameters of the API, and columns of the records.
package enum UsageField: String, CaseIterable, Sendable {
    case tenant = "tenant_id"
    case project = "project_id"
    case key = "key_id"
    case app = "app_id"
    case user = "user_id"
    case did, model
    case endpoint = "endpoint_id"
    case provider = "provider_id"
    case dataPlane = "data_plane_id"
    case status
    case errorOrigin = "error_origin"
    case errorCode = "error_code"
    case configVersion = "config_version"
    case dialect, tag
    case latency = "min_latency_ms"
    case trace = "trace_id"
    case request = "request_id"

    package var shape: FieldShape {
        let (kind, about): (FieldKind, String) =
            switch self {
            case .tenant: (.id(TenantKind.prefix), "Only this tenant's.")
            case .project: (.id(ProjectKind.prefix), "Only this project's.")
            case .key: (.id(KeyKind.prefix), "Only this key's.")
            case .app: (.id(AppKind.prefix), "Only this app's.")
            case .user: (.id(UserKind.prefix), "Only this user's.")
            case .did: (.token, "Only this DID's.")
            case .model: (.token, "Only this model's, by its name.")
            case .endpoint: (.id(EndpointKind.prefix), "Only what was sent to this endpoint (last, where there were several).")
            case .provider: (.id(ProviderKind.prefix), "Only what was sent to this provider (last, where there were several).")
            case .dataPlane: (.id(DataPlaneKind.prefix), "Only what this data plane served.")
            case .status: (.word(UsageStatus.allCases.map(\.rawValue)), "Only requests that ended so.")
            case .errorOrigin: (.word(UsageErrorOrigin.allCases.map(\.rawValue)), "Only failures by this fault.")
            case .errorCode: (.token, "Only failures of this code.")
            case .configVersion: (.integer(0...Int64.max), "Only what was served with this version of the configuration.")
            case .dialect: (.token, "Only requests of this dialect.")
            case .tag: (.text(maximum: 330), "Only what has this tag: name=text.")
            case .latency: (.integer(0...1_000_000_000), "Only requests that took at least so long, in milliseconds.")
            case .trace: (.checked(format: nil), "Only what belongs to this trace: 32 hexadecimal digits.")
            case .request: (.checked(format: nil), "Only this request: req_…")
            }
        return FieldShape(rawValue, kind, about)
    }

    var column: UsageColumn? { self == .latency ? .latency : self == .tag ? .tag : UsageColumn(rawValue: rawValue) }

    /// The value as its column has it; nil when it does not fit.
    fileprivate func value(_ text: String) -> SQLValue? {
        switch self {
        case .status: return UsageStatus(rawValue: text).map { .int(Int64($0.number)) }
        case .errorOrigin: return UsageErrorOrigin(rawValue: text).map { .int(Int64($0.number)) }
        case .trace:
            guard let bytes = Hex.decode(text), bytes.count == 16 else { return nil }
            return .blob(bytes)
        case .request: return RequestID(text: text).map { .blob($0.bytes) }
        case .latency:
            guard case .int(let milliseconds)? = shape.kind.filterValue(text) else { return nil }
            return .int(milliseconds * 1000)
        case .tag: return text.contains("=") && text.utf8.count <= 330 ? .text(text) : nil
        default: return shape.kind.filterValue(text).map(SQLValue.init)
        }
    }
}

/// Which records a report is about.
package struct UsageQuery: Sendable, Hashable {
    /// Unix milliseconds of admission, included; nil: as far back as is usual.
    package var from: Int64?
    /// Unix milliseconds of admission, not included; nil: all that there is.
    package var until: Int64?
    private(set) var values: [UsageColumn: SQLValue] = [:]

    package init(from: Int64? = nil, until: Int64? = nil) {
        self.from = from
        self.until = until
    }

    /// Narrows it to what has this value.
    /// - Throws: `DomainError.invalid` for a value that the field cannot have.
    package mutating func narrow(_ field: UsageField, to text: String) throws(DomainError) {
        guard let column = field.column, let value = field.value(text) else {
            let words =
                switch field {
                case .trace: "32 hexadecimal digits"
                case .request: "an id that starts with req_"
                case .tag: "name=text, like team=search"
                default: field.shape.kind.words
                }
            throw .invalid(field.rawValue, "does not fit", remedy: "Pass \(words).")
        }
        values[column] = value
    }

    /// The identifier that it is narrowed to.
    package subscript(field: UsageField) -> String? {
        get {
            guard let column = field.column, case .text(let text)? = values[column] else { return nil }
            return text
        }
        set {
            if let column = field.column { values[column] = newValue.map { .text($0) } }
        }
    }

    func filter(from: Int64, until: Int64) -> UsageFilter {
        func microseconds(_ milliseconds: Int64) -> Int64 {
            let (value, overflow) = milliseconds.multipliedReportingOverflow(by: 1000)
            return overflow ? (milliseconds < 0 ? .min : .max) : value
        }
        return UsageFilter(from: microseconds(from), to: microseconds(until), values)
    }
}

package enum UsageStatus: String, CaseIterable, Sendable {
    case pending, completed, failed

    var number: Int {
        switch self {
        case .pending: Weir_V1_UsageStatus.pending.rawValue
        case .completed: Weir_V1_UsageStatus.completed.rawValue
        case .failed: Weir_V1_UsageStatus.failed.rawValue
        }
    }

    /// The case's name; a number that only a newer version has a name for is shown as it is.
    static func word(_ number: Int64) -> String { allCases.first { $0.number == Int(number) }?.rawValue ?? String(number) }
}

/// Whose fault a failure was.
package enum UsageErrorOrigin: String, CaseIterable, Sendable {
    case client, provider, weir

    var number: Int {
        switch self {
        case .client: Weir_V1_ErrorOrigin.client.rawValue
        case .provider: Weir_V1_ErrorOrigin.provider.rawValue
        case .weir: Weir_V1_ErrorOrigin.weir.rawValue
        }
    }

    /// Nil for no fault at all.
    static func word(_ number: Int64) -> String? {
        number == 0 ? nil : allCases.first { $0.number == Int(number) }?.rawValue ?? String(number)
    }
}

/// What a report is grouped by.
package enum UsageGroup: Hashable, Sendable {
    case tenant, project, key, app, user, did, model
    /// The user who pays: an app's owner, else who asked.
    case owner
    case configVersion, endpoint, provider, dataPlane, status, dialect, price, errorOrigin, errorCode
    /// All tags together.
    case tags
    /// One of the tags.
    case tag(String)
    case hour, day, month

    package static let words: [(word: String, group: UsageGroup)] = [
        ("tenant", .tenant), ("project", .project), ("key", .key), ("app", .app), ("user", .user), ("did", .did), ("model", .model),
        ("owner", .owner), ("config_version", .configVersion), ("endpoint", .endpoint), ("provider", .provider), ("data_plane", .dataPlane),
        ("status", .status), ("dialect", .dialect), ("price", .price), ("tags", .tags),
        ("error_origin", .errorOrigin), ("error_code", .errorCode), ("hour", .hour), ("day", .day), ("month", .month),
    ]

    package init?(word: String) {
        if word.hasPrefix("tag:") {
            let name = String(word.dropFirst(4))
            guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3D && $0 != 0x2C }) else {
                return nil
            }
            self = .tag(name)
        } else {
            guard let group = Self.words.first(where: { $0.word == word })?.group else { return nil }
            self = group
        }
    }

    package var word: String {
        if case .tag(let name) = self { return "tag:" + name }
        return Self.words.first { $0.group == self }?.word ?? ""
    }

    /// Whether it is of the reader's time zone.
    var isTime: Bool { self == .hour || self == .day || self == .month }

    func dimension(_ times: UsageTimes) -> UsageDimension {
        switch self {
        case .tenant: .tenant
        case .project: .project
        case .key: .key
        case .app: .column(.app)
        case .user: .column(.user)
        case .did: .column(.did)
        case .owner: .payer
        case .model: .model
        case .configVersion: .column(.configVersion)
        case .endpoint: .column(.endpoint)
        case .provider: .column(.provider)
        case .dataPlane: .column(.dataPlane)
        case .status: .column(.status)
        case .dialect: .column(.dialect)
        case .price: .column(.price)
        case .tags: .column(.tag)
        case .errorOrigin: .column(.errorOrigin)
        case .errorCode: .column(.errorCode)
        case .tag(let name): .tag(name)
        case .hour: .hour(times)
        case .day: .day(times)
        case .month: .month(times)
        }
    }
}

/// Who reads a report: tenants do not see what the operator checks the data planes with.
package enum UsageReader: Sendable, Hashable {
    case administrator
    case tenant(TenantID)

    /// An administrator of a tenant reads as the tenant does.
    package init(_ actor: Actor) { self = actor.tenantID.map { .tenant($0) } ?? .administrator }

    var scope: TenantScope {
        switch self {
        case .administrator: .all
        case .tenant(let id): .tenant(id.rawValue)
        }
    }
}
