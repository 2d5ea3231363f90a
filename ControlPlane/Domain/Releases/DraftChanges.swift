import Contract
import Nouns
package import Primitives
import Storage

/// What publishing a content would change against the newest version, and who has changed it since.
package struct DraftChanges: Sendable, Hashable {
    /// Somebody's edit of one resource.
    package struct Edit: Sendable, Hashable {
        package let authorID: String
        package let authorName: String
        package let action: String
        /// Unix milliseconds.
        package let at: Int64

        fileprivate init(_ row: AuditRow) {
            authorID = row.actorID
            authorName = row.actorName
            action = row.action
            at = row.at
        }

        package var json: JSONValue {
            [
                "actor": ["id": .string(authorID), "name": .string(authorName)], "action": .string(action), "at": .time(at),
            ]
        }
    }

    package struct Entry: Sendable, Hashable {
        /// As in the configuration: `providers`, `endpoints`, …
        package let resource: String
        package let difference: ConfigDiff.Entry
        /// Newest first.
        package let edits: [Edit]

        package var json: JSONValue {
            var object = difference.json.objectValue ?? JSONObject()
            object["resource"] = .string(resource)
            object["change"] = .string(difference.change.rawValue)
            object["edits"] = .array(edits.map(\.json))
            return .object(object)
        }
    }

    /// Of more than these it is not looked up who did it.
    private static let maximumAttributed = 200
    private static let maximumEdits = 10

    /// The draft's revision.
    package let revision: Int64
    /// The newest version; nil: nothing was published yet.
    package let since: Int64?
    package let entries: [Entry]
    package let rolledBack: [HeldRollback]

    init(_ c: any SQLConnection, _ content: ConfigResources) throws {
        revision = try Draft.revision(c)
        let latest = try ConfigVersionsTable.latest(c)
        since = latest?.version
        let before = try latest.map { try ConfigVersions.existing(c, $0.version, field: "version") } ?? .init()
        let sections = ConfigDiff(from: ConfigResources(before), to: content).sections
        var attributed = 0
        entries = try sections.flatMap { section in
            try section.entries.map { difference in
                attributed += 1
                let edits =
                    attributed <= Self.maximumAttributed
                    ? try Self.edits(
                        c, kind: String(section.resource.dropLast()), id: difference.id, since: latest.map { $0.createdAt + 1 }) : []
                return Entry(resource: section.resource, difference: difference, edits: edits)
            }
        }
        rolledBack = try HeldRollback.all(c, in: content)
    }

    /// Who changed it since the last version; else who reset the draft since; else who changed it last.
    private static func edits(_ c: any SQLConnection, kind: String, id: String, since: Int64?) throws -> [Edit] {
        let own = try AuditTable.list(
            c, AuditFilter(resourceKind: kind, resourceID: id, from: since), limit: maximumEdits)
        if !own.isEmpty { return own.map(Edit.init) }
        let resets = try AuditTable.list(
            c, AuditFilter(resourceKind: "config_draft", resourceID: "draft", from: since), limit: 1)
        if !resets.isEmpty { return resets.map(Edit.init) }
        return try AuditTable.list(c, AuditFilter(resourceKind: kind, resourceID: id), limit: 1).map(Edit.init)
    }

    package var json: JSONValue {
        [
            "revision": .int(revision), "since_version": since.map(JSONValue.int) ?? .null,
            "changes": .array(entries.map(\.json)), "rolled_back": .array(rolledBack.map(\.json)),
        ]
    }
}

/// A version that was rolled back and whose changes the draft still holds, in part at least: published again, they would be in force again.
package struct HeldRollback: Sendable, Hashable {
    package struct Held: Sendable, Hashable {
        package let resource: String
        package let id: String
        package let name: String
    }

    package let version: Int64
    package let restoredVersion: Int64
    package let authorName: String
    /// Unix milliseconds.
    package let at: Int64
    package let held: [Held]

    package var json: JSONValue {
        let list = held.map { held -> JSONValue in
            ["resource": .string(held.resource), "id": .string(held.id), "name": .string(held.name)]
        }
        return [
            "version": .int(version), "restored_version": .int(restoredVersion),
            "by": .string(authorName), "at": .time(at), "still_in_draft": .array(list),
        ]
    }

    /// Those that nobody has answered and of which `content` holds something.
    static func all(_ c: any SQLConnection, in content: ConfigResources) throws -> [HeldRollback] {
        let present = index(content)
        return try RollbacksTable.unanswered(c).compactMap { row in
            // Without one before it, all of it could be at fault or nothing.
            guard row.restoredVersion != 0 else { return nil }
            let left = try ConfigResources(ConfigVersions.existing(c, row.leftVersion, field: "version"))
            let restored = try ConfigResources(ConfigVersions.existing(c, row.restoredVersion, field: "version"))
            let then = index(left)
            let held = ConfigDiff(from: restored, to: left).sections.flatMap { section in
                section.entries.filter { then["\(section.resource) \($0.id)"] == present["\(section.resource) \($0.id)"] }
                    .map { Held(resource: section.resource, id: $0.id, name: $0.name) }
            }
            guard !held.isEmpty else { return nil }
            return HeldRollback(
                version: row.leftVersion, restoredVersion: row.restoredVersion, authorName: row.authorName, at: row.createdAt, held: held)
        }
    }

    private static func index(_ content: ConfigResources) -> [String: ConfigResource] {
        let all = content.sections.flatMap { section in section.resources.map { ("\(section.name) \($0.id)", $0) } }
        return Dictionary(all, uniquingKeysWith: { first, _ in first })
    }

    /// - Throws: `DomainError.conflict` when there are any.
    static func refuse(_ rollbacks: [HeldRollback]) throws(DomainError) {
        guard let first = rollbacks.first else { return }
        let remedy =
            "Change them, reset the draft to version \(first.restoredVersion), or publish with acknowledge_rollback: true if they are right now."
        throw .conflict(
            detail: "The draft still holds what version \(first.version) was rolled back for.",
            problems: rollbacks.flatMap { rollback in
                rollback.held.prefix(20).map { held in
                    FieldProblem(
                        "\(held.resource)[\(held.id)]",
                        "(\(held.name)) is as in version \(rollback.version), which \(rollback.authorName) rolled back at \(RFC3339.string(milliseconds: rollback.at))",
                        remedy: remedy)
                }
            })
    }

    /// What was published has been looked at.
    static func answerAll(_ c: any SQLConnection, at now: Int64) throws {
        for row in try RollbacksTable.unanswered(c) { try RollbacksTable.answer(c, leftVersion: row.leftVersion, at: now) }
    }
}
