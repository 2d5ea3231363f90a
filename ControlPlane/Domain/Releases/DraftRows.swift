import Contract
import Storage

// Rows of the draft to messages of the configuration and back. What comes back from a message is the row it was made from.

extension Weir_V1_Timeouts {
    fileprivate init(_ columns: TimeoutsColumns) {
        self.init()
        connectMs = UInt32(clamping: columns.connectMS)
        firstByteMs = UInt32(clamping: columns.firstByteMS)
        idleMs = UInt32(clamping: columns.idleMS)
        totalMs = UInt32(clamping: columns.totalMS)
    }
}

extension TimeoutsColumns {
    fileprivate init(_ message: Weir_V1_Timeouts) {
        self.init(
            connectMS: Int64(message.connectMs), firstByteMS: Int64(message.firstByteMs), idleMS: Int64(message.idleMs),
            totalMS: Int64(message.totalMs))
    }
}

extension Weir_V1_Provider {
    init(_ row: ProviderRow) {
        self.init()
        id = row.id
        name = row.name
        kind = row.kind
        baseURL = row.baseURL
        authScheme = AuthSchemeName.scheme(row.authScheme)
        authHeader = row.authHeader
        caPem = row.caPEM
        if row.timeouts != TimeoutsColumns() { timeouts = Weir_V1_Timeouts(row.timeouts) }
    }
}

extension ProviderRow {
    init(_ message: Weir_V1_Provider, _ meta: RowMeta) {
        self.init(
            id: message.id, name: message.name, kind: message.kind, baseURL: message.baseURL,
            authScheme: AuthSchemeName.text(message.authScheme), authHeader: message.authHeader, caPEM: message.caPem,
            timeouts: TimeoutsColumns(message.timeouts), meta: meta)
    }
}

extension Weir_V1_Endpoint {
    init(_ row: EndpointRow) {
        self.init()
        id = row.id
        name = row.name
        providerID = row.providerID
        baseURL = row.baseURL ?? ""
        credentialIds = row.credentialIDs
        disabled = row.disabled
        if row.timeouts != TimeoutsColumns() { timeouts = Weir_V1_Timeouts(row.timeouts) }
    }
}

extension EndpointRow {
    init(_ message: Weir_V1_Endpoint, _ meta: RowMeta) {
        self.init(
            id: message.id, providerID: message.providerID, name: message.name, baseURL: message.baseURL.isEmpty ? nil : message.baseURL,
            credentialIDs: message.credentialIds, disabled: message.disabled, timeouts: TimeoutsColumns(message.timeouts), meta: meta)
    }
}

extension Weir_V1_Model {
    init(_ row: ModelRow) {
        self.init()
        id = row.id
        name = row.name
        capabilities = row.capabilities
        contextWindow = UInt64(clamping: row.contextWindow)
        maxOutputTokens = UInt64(clamping: row.maxOutputTokens)
        tenantIds = row.tenantIDs
        ownedBy = row.ownedBy
        createdS = row.meta.createdAt / 1000
    }
}

extension ModelRow {
    init(_ message: Weir_V1_Model, _ meta: RowMeta) {
        self.init(
            id: message.id, name: message.name, capabilities: message.capabilities, contextWindow: Int64(clamping: message.contextWindow),
            maxOutputTokens: Int64(clamping: message.maxOutputTokens), tenantIDs: message.tenantIds, ownedBy: message.ownedBy,
            meta: RowMeta(revision: meta.revision, createdAt: message.createdS &* 1000, updatedAt: meta.updatedAt))
    }
}

extension Weir_V1_Route {
    init(_ row: RouteRow) {
        self.init()
        id = row.id
        name = row.name
        modelID = row.modelID
        targets = row.targets.map { target in
            var message = Weir_V1_RouteTarget()
            message.endpointID = target.endpointID
            message.upstreamModel = target.upstreamModel
            message.weight = UInt32(clamping: target.weight)
            return message
        }
        maxAttempts = UInt32(clamping: row.maxAttempts)
        disabled = row.disabled
    }
}

extension RouteRow {
    init(_ message: Weir_V1_Route, _ meta: RowMeta) {
        self.init(
            id: message.id, modelID: message.modelID, name: message.name,
            targets: message.targets.map { .init(endpointID: $0.endpointID, upstreamModel: $0.upstreamModel, weight: Int64($0.weight)) },
            maxAttempts: Int64(message.maxAttempts), disabled: message.disabled, meta: meta)
    }
}

extension Weir_V1_Price {
    init(_ row: PriceRow) {
        self.init()
        id = row.id
        modelID = row.modelID
        endpointID = row.endpointID ?? ""
        input = row.inputNano
        output = row.outputNano
        cachedInput = row.cachedInputNano
        cacheWrite = row.cacheWriteNano
        perRequest = row.perRequestNano
        effectiveFromMs = row.effectiveFrom
    }
}

extension PriceRow {
    init(_ message: Weir_V1_Price, _ meta: RowMeta) {
        self.init(
            id: message.id, modelID: message.modelID, endpointID: message.endpointID.isEmpty ? nil : message.endpointID,
            inputNano: message.input, outputNano: message.output, cachedInputNano: message.cachedInput, cacheWriteNano: message.cacheWrite,
            perRequestNano: message.perRequest, effectiveFrom: message.effectiveFromMs, meta: meta)
    }
}

/// The admin API's words for `Weir_V1_AuthScheme`.
private enum AuthSchemeName {
    static func text(_ scheme: Weir_V1_AuthScheme) -> String {
        switch scheme {
        case .bearer: "bearer"
        case .header: "header"
        case .basic: "basic"
        case .none: "none"
        case .unspecified, .UNRECOGNIZED: ""
        }
    }

    static func scheme(_ text: String) -> Weir_V1_AuthScheme {
        switch text {
        case "bearer": .bearer
        case "header": .header
        case "basic": .basic
        case "none": .none
        default: .unspecified
        }
    }
}
