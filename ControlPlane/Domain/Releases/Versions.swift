import Contract
package import Primitives
import Storage
import SwiftProtobuf
import Trust

/// One published configuration. Immutable.
package struct ConfigVersion: Sendable, Hashable {
    package let version: Int64
    /// SHA-256 of the payload's bytes, the ones that are signed.
    package let digest: [UInt8]
    package let payloadBytes: Int64
    package let note: String
    package let authorID: String
    package let authorName: String
    /// The version whose content this one repeats.
    package let restores: Int64?
    /// Unix milliseconds.
    package let createdAt: Int64

    init(_ row: ConfigVersionRow) {
        version = row.version
        digest = row.digest
        payloadBytes = row.payloadBytes
        note = row.note
        authorID = row.authorID
        authorName = row.authorName
        restores = row.restores
        createdAt = row.createdAt
    }

    package var json: JSONValue {
        [
            "id": .string(String(version)),
            "version": .int(version),
            "digest": .string(Hex.encode(digest)),
            "payload_bytes": .int(payloadBytes),
            "note": .string(note),
            "author": ["id": .string(authorID), "name": .string(authorName)],
            "restores": restores.map(JSONValue.int) ?? .null,
            "created_at": .string(RFC3339.string(milliseconds: createdAt)),
            // Nothing about a version ever changes.
            "updated_at": .string(RFC3339.string(milliseconds: createdAt)),
        ]
    }
}

/// A version that was just published, and what it changed.
package struct Publication: Sendable, Hashable {
    package let published: ConfigVersion
    package let changes: DraftChanges

    init(version: ConfigVersion, changes: DraftChanges) {
        published = version
        self.changes = changes
    }

    package var version: Int64 { published.version }

    package var json: JSONValue {
        var object = published.json.objectValue ?? JSONObject()
        object["changes"] = .array(changes.entries.map(\.json))
        return .object(object)
    }
}

/// Publishing, and reading what was published.
package struct ConfigVersions: Sendable {
    package static let list = "config_versions"
    package static let maximumNoteBytes = 2000
    /// Far below what a data plane refuses, far above what anybody configures: a mistake is noticed here.
    package static let maximumPayloadBytes = 64 << 20

    private let domain: DomainContext

    package init(_ domain: DomainContext) {
        self.domain = domain
    }

    /// Makes the draft, or with `restore` the content of an older version, the next immutable version. It is in force for nobody
    /// until a rollout offers it.
    /// - Parameters:
    ///   - expecting: The revision of the draft that the caller saw; nil: whatever it is at.
    ///   - acknowledgeRollback: The draft may hold what versions that were rolled back had changed.
    /// - Throws: `DomainError.conflict` naming each broken reference, when the draft is what the last version is already, or when it
    ///   still holds what a version was rolled back for; `preconditionFailed` when the draft has changed since; `invalid` for a note that
    ///   is too long or a version to restore that does not exist.
    package func publish(
        note: String, restore: Int64? = nil, expecting: Int64? = nil, acknowledgeRollback: Bool = false, actor: Actor
    ) async throws -> Publication {
        try Self.check(note: note)
        let now = domain.clock.nowMilliseconds()
        return try await domain.write(as: actor.scope, raising: .config) { c in
            // Drafts do not change under our eyes, and two publications follow each other.
            let revision = try ChangeCounter.draft.next(c)
            if let expecting, restore == nil { try checkRevision(expecting, current: revision - 1) }
            let config: Weir_V1_ConfigPayload
            if let restore {
                config = try Self.existing(c, restore, field: "restore")
            } else {
                config = try Draft.payload(c)
            }
            let problems = try Draft.problems(c, config)
            guard problems.isEmpty else {
                let what = restore.map { "The content of version \($0)" } ?? "The draft"
                throw DomainError.conflict(
                    detail:
                        "\(what) cannot be served: \(problems.count) problem\(problems.count == 1 ? "" : "s"), each named under errors.",
                    problems: problems)
            }
            let bytes: [UInt8] = try config.serializedBytes()
            guard bytes.count <= Self.maximumPayloadBytes else {
                throw DomainError.conflict(
                    detail: "The configuration has \(bytes.count) bytes; at most \(Self.maximumPayloadBytes) are published.", problems: [])
            }
            if restore == nil, let last = try ConfigVersionsTable.latest(c), last.digest == SHA256Digest.of(bytes) {
                throw DomainError.conflict(
                    "draft", "is the same as version \(last.version)",
                    remedy: "Change the draft first, or roll out version \(last.version) as it is.")
            }
            let resources = ConfigResources(config)
            if restore == nil, !acknowledgeRollback { try HeldRollback.refuse(HeldRollback.all(c, in: resources)) }
            let changes = try DraftChanges(c, resources)
            let row = try Self.append(c, bytes, note: note, restores: restore, actor: actor, at: now)
            if restore == nil {
                try ConfigVersionsTable.setDraftBase(c, row.version)
                try HeldRollback.answerAll(c, at: now)
            }
            return Publication(version: ConfigVersion(row), changes: changes)
        }
    }

    /// Newest first.
    package func versions(_ page: PageRequest) async throws -> Page<ConfigVersion> {
        let rows = try await domain.read(as: .all) { c in
            try ConfigVersionsTable.list(c, before: page.after?.time, limit: page.fetchLimit)
        }
        // Versions are unique and rising: the version alone is the place in the list.
        return Page(fetched: rows.map(ConfigVersion.init), page) { Cursor(list: Self.list, time: $0.version, id: "v") }
    }

    /// A version and its content: `{"providers": […], …}`.
    package func version(_ version: Int64) async throws -> (version: ConfigVersion, content: JSONObject) {
        try await domain.read(as: .all) { c in
            guard let row = try ConfigVersionsTable.find(c, version) else {
                throw DomainError.notFound(kind: "configuration version", id: String(version))
            }
            return (ConfigVersion(row), ConfigResources(try Self.existing(c, version, field: "version")).members)
        }
    }

    /// One side of a diff.
    package enum Reference: Sendable, Hashable {
        case draft
        case version(Int64)

        package var text: String {
            switch self {
            case .draft: "draft"
            case .version(let version): String(version)
            }
        }
    }

    /// - Throws: `DomainError.invalid` naming `from` or `to` when that version does not exist.
    package func diff(from: Reference, to: Reference) async throws -> ConfigDiff {
        try await domain.read(as: .all) { c in
            func payload(_ reference: Reference, _ field: String) throws -> Weir_V1_ConfigPayload {
                switch reference {
                case .draft: try Draft.payload(c)
                case .version(let version): try Self.existing(c, version, field: field)
                }
            }
            return ConfigDiff(from: ConfigResources(try payload(from, "from")), to: ConfigResources(try payload(to, "to")))
        }
    }

    /// What requests of a channel go through.
    /// - Throws: `DomainError.invalid` naming `version` when that does not exist, or `channel` when its steps wait for each other.
    package func plan(of channel: String, in reference: Reference) async throws -> ChannelPlan {
        try await domain.read(as: .all) { c in
            let payload =
                switch reference {
                case .draft: try Draft.payload(c)
                case .version(let version): try Self.existing(c, version, field: "version")
                }
            do throws(WorkflowRules.WorkflowCircle) {
                return ChannelPlan(try WorkflowPicture(of: channel, in: payload))
            } catch {
                throw DomainError.invalid(
                    "channel", "has steps that wait for each other: \(error.steps.joined(separator: " → "))",
                    remedy: "Take one of these dependencies out.")
            }
        }
    }

    // MARK: Inside a transaction

    /// The content of a published version.
    /// - Throws: `DomainError.invalid` naming `field` when there is no such version.
    static func existing(_ c: any SQLConnection, _ version: Int64, field: String) throws -> Weir_V1_ConfigPayload {
        guard let bytes = try ConfigVersionsTable.payload(c, version) else {
            throw DomainError.invalid(
                field, "names version \(version), which does not exist", remedy: "Name one that `weir config versions` lists.")
        }
        return try Weir_V1_ConfigPayload(serializedBytes: bytes)
    }

    /// Writes the next version and its audit entry. The content has been checked.
    static func append(
        _ c: any SQLConnection, _ payload: [UInt8], note: String, restores: Int64?, actor: Actor, at: Int64
    ) throws -> ConfigVersionRow {
        let row = ConfigVersionRow(
            version: try ChangeCounter.config.next(c), digest: SHA256Digest.of(payload), payloadBytes: Int64(payload.count), note: note,
            authorID: actor.id, authorName: actor.name, restores: restores, createdAt: at)
        try ConfigVersionsTable.insert(c, row, payload: payload)
        try AuditLog.record(
            c, actor, "config_version.publish", id: String(row.version), before: nil, after: ConfigVersion(row).json, at: at)
        return row
    }

    private static func check(note: String) throws(DomainError) {
        guard note.utf8.count <= maximumNoteBytes else {
            throw .invalid("note", "has more than \(maximumNoteBytes) bytes", remedy: "Shorten it.")
        }
    }
}
