import Contract
import Primitives
import SwiftProtobuf
import Trust

/// Reads a serialised `DirectoryPayload` into a directory. Field numbers are documents.proto's.
enum DirectoryReader {
    /// - Parameters:
    ///   - base: what a delta builds on; ignored by a full directory.
    ///   - selector: the rollout in force.
    static func read(
        _ payload: UnsafeRawBufferPointer, base: Directory, selector: RolloutSelector?
    ) throws(DocumentRefusal) -> Directory {
        do {
            let outline = try outline(payload)
            var builder =
                outline.isDelta
                ? DirectoryBuilder(from: base, selector: selector)
                : DirectoryBuilder(selector: selector, revocations: base.revocations)
            if !outline.isDelta { builder.reserve(keys: outline.keys, principals: outline.others) }
            // Keys name users and projects, those tenants, wherever in the message they stand: one pass a level.
            try tenants(payload, &builder)
            try projects(payload, &builder)
            // Most directories are all keys: no pass over a million of them for nothing.
            if outline.others > 0 { try others(payload, &builder) }
            if outline.budgets > 0 { try budgets(payload, &builder) }
            try keys(payload, &builder)
            if outline.limits > 0 { try limits(payload, &builder) }
            return builder.finish()
        } catch let problem as DocumentRefusal {
            throw problem
        } catch {
            throw DocumentRefusal(.malformedPayload, "the payload is not a DirectoryPayload")
        }
    }

    static func isDelta(_ payload: UnsafeRawBufferPointer) -> Bool { (try? outline(payload))?.isDelta ?? false }

    private struct Outline {
        var isDelta = false
        var keys = 0
        /// Of other kinds, removals included.
        var others = 0
        /// Removals included.
        var limits = 0
        var budgets = 0
    }

    private static func outline(_ payload: UnsafeRawBufferPointer) throws(WireReader.Malformed) -> Outline {
        var reader = WireReader(payload)
        var outline = Outline()
        while let field = try reader.next() {
            switch field.number {
            case 1:
                outline.isDelta = try reader.varint(field) != 0
                continue
            case 4: outline.keys += 1
            case 8...11, 20...23: outline.others += 1
            case 70, 71: outline.limits += 1
            case 60, 61: outline.budgets += 1
            default: break
            }
            try reader.skip(field)
        }
        return outline
    }

    private static func tenants(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            guard field.number == 2 else {
                try reader.skip(field)
                continue
            }
            var message = WireReader(try reader.bytes(field))
            var id: IDBits?
            var disabled = false
            var weight: UInt64 = 0
            var takesNewDIDs = false
            var hosts: Set<String> = []
            var patterns: [String] = []
            while let member = try message.next() {
                switch member.number {
                case 1: id = try identifier(message.bytes(member), TenantEntry.idPrefix)
                case 3: disabled = try message.varint(member) != 0
                case 40: weight = try message.varint(member)
                case 55: takesNewDIDs = try message.varint(member) != 0
                case 56: hosts.insert(try message.string(member))
                case 57: patterns.append(try message.string(member))
                default: try message.skip(member)
                }
            }
            builder.upsertTenant(
                try required(id, "a tenant without an id"), disabled: disabled, weight: weight,
                newDIDs: takesNewDIDs ? NewDIDPolicy(hosts: hosts, patterns: patterns) : nil)
        }
        reader = WireReader(payload)
        while let field = try reader.next() {
            if field.number == 5 {
                builder.removeTenant(try identifier(reader.bytes(field), TenantEntry.idPrefix))
            } else {
                try reader.skip(field)
            }
        }
    }

    private static func projects(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            guard field.number == 3 else {
                try reader.skip(field)
                continue
            }
            var message = WireReader(try reader.bytes(field))
            var id: IDBits?
            var tenant: IDBits?
            var disabled = false
            while let member = try message.next() {
                switch member.number {
                case 1: id = try identifier(message.bytes(member), ProjectEntry.idPrefix)
                case 2: tenant = try identifier(message.bytes(member), TenantEntry.idPrefix)
                case 4: disabled = try message.varint(member) != 0
                default: try message.skip(member)
                }
            }
            try builder.upsertProject(
                try required(id, "a project without an id"), tenant: try required(tenant, "a project without a tenant"), disabled: disabled)
        }
        reader = WireReader(payload)
        while let field = try reader.next() {
            if field.number == 6 {
                builder.removeProject(try identifier(reader.bytes(field), ProjectEntry.idPrefix))
            } else {
                try reader.skip(field)
            }
        }
    }

    /// Apps may name owners that stand behind them, so nothing is asked of those here.
    private static func others(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            switch field.number {
            case 8: try builder.upsert(try user(reader.bytes(field)))
            case 9: try builder.upsert(try app(reader.bytes(field)))
            case 20: try builder.upsert(try did(reader.bytes(field)))
            case 22: try builder.upsert(try revokedGrant(reader.bytes(field)))
            default: try reader.skip(field)
            }
        }
        reader = WireReader(payload)
        while let field = try reader.next() {
            switch field.number {
            case 10: builder.remove(.user, try identifier(reader.bytes(field), UserEntry.idPrefix))
            case 11: builder.remove(.app, try identifier(reader.bytes(field), AppEntry.idPrefix))
            case 21: builder.remove(.did, try identifier(reader.bytes(field), DIDEntry.idPrefix))
            case 23: builder.remove(.revokedGrant, try identifier(reader.bytes(field), Principal.Kind.revokedGrant.idPrefix))
            default: try reader.skip(field)
            }
        }
    }

    /// Few beside keys, so they are read as messages.
    private static func limits(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            switch field.number {
            case 70:
                let limit = try Weir_V1_Limit(serializedBytes: [UInt8](try reader.bytes(field)))
                if let rule = try LimitRule(limit) { builder.upsert(rule) }
            case 71: builder.removeLimit(try identifier(reader.bytes(field), LimitRule.idPrefix))
            default: try reader.skip(field)
            }
        }
    }

    private static func user(_ bytes: UnsafeRawBufferPointer) throws -> DirectoryBuilder.Other {
        var message = WireReader(bytes)
        var id: IDBits?
        var tenant: IDBits?
        var oid: UnsafeRawBufferPointer?
        var disabled = false
        var paidUntil: Int64 = 0
        while let member = try message.next() {
            switch member.number {
            case 1: id = try identifier(message.bytes(member), UserEntry.idPrefix)
            case 2: tenant = try identifier(message.bytes(member), TenantEntry.idPrefix)
            case 3: oid = try message.bytes(member)
            case 4: disabled = try message.varint(member) != 0
            case 5: paidUntil = try message.int64(member)
            default: try message.skip(member)
            }
        }
        let home = try required(tenant, "a user without a tenant")
        return DirectoryBuilder.Other(
            kind: .user, id: try required(id, "a user without an id"), tenant: home,
            name: PrincipalName.bits(.user, try required(oid, "a user without an oid"), tenant: home), untilMilliseconds: paidUntil,
            disabled: disabled)
    }

    private static func revokedGrant(_ bytes: UnsafeRawBufferPointer) throws -> DirectoryBuilder.Other {
        var message = WireReader(bytes)
        var id: IDBits?
        var tenant: IDBits?
        var name: UnsafeRawBufferPointer?
        while let member = try message.next() {
            switch member.number {
            case 1: id = try identifier(message.bytes(member), Principal.Kind.revokedGrant.idPrefix)
            case 2: tenant = try identifier(message.bytes(member), TenantEntry.idPrefix)
            case 3: name = try message.bytes(member)
            default: try message.skip(member)
            }
        }
        // Disabled, as everybody is who loses what he had: what runs with it is looked for.
        return DirectoryBuilder.Other(
            kind: .revokedGrant, id: try required(id, "a revoked grant without an id"),
            tenant: try required(tenant, "a revoked grant without a tenant"),
            name: PrincipalName.bits(.revokedGrant, try required(name, "a revoked grant without a name"), tenant: nil), disabled: true)
    }

    private static func did(_ bytes: UnsafeRawBufferPointer) throws -> DirectoryBuilder.Other {
        var message = WireReader(bytes)
        var id: IDBits?
        var tenant: IDBits?
        var fingerprint: UnsafeRawBufferPointer?
        var user: IDBits?
        var disabled = false
        var methods: [DIDDocument.Method] = []
        while let member = try message.next() {
            switch member.number {
            case 1: id = try identifier(message.bytes(member), DIDEntry.idPrefix)
            case 2: tenant = try identifier(message.bytes(member), TenantEntry.idPrefix)
            case 3: fingerprint = try message.bytes(member)
            case 4: user = try identifier(message.bytes(member), UserEntry.idPrefix)
            case 5: disabled = try message.varint(member) != 0
            case 40: if let method = try didMethod(message.bytes(member)) { methods.append(method) }
            default: try message.skip(member)
            }
        }
        return DirectoryBuilder.Other(
            kind: .did, id: try required(id, "a DID without an id"), tenant: try required(tenant, "a DID without a tenant"),
            name: PrincipalName.bits(.did, try required(fingerprint, "a DID without a fingerprint"), tenant: nil), link: user,
            disabled: disabled, methods: methods)
    }

    /// Nil: of a curve that this release does not know.
    private static func didMethod(_ bytes: UnsafeRawBufferPointer) throws -> DIDDocument.Method? {
        var message = WireReader(bytes)
        var fragment = ""
        var number: UInt64 = 0
        var key: [UInt8] = []
        while let member = try message.next() {
            switch member.number {
            case 1: fragment = try message.string(member)
            case 2: number = try message.varint(member)
            case 3: key = [UInt8](try message.bytes(member))
            default: try message.skip(member)
            }
        }
        guard let curve = UInt8(exactly: number).flatMap(VerificationKey.Curve.init) else { return nil }
        guard let key = try? VerificationKey(curve, key) else { throw DocumentRefusal(.malformedPayload, "a DID's document holds no key") }
        return DIDDocument.Method(fragment: fragment, key: key)
    }

    private static func app(_ bytes: UnsafeRawBufferPointer) throws -> DirectoryBuilder.Other {
        var message = WireReader(bytes)
        var id: IDBits?
        var tenant: IDBits?
        var name: UnsafeRawBufferPointer?
        var owner: IDBits?
        var disabled = false
        var current: DigestWords?
        var previous: DigestWords?
        var previousExpires: Int64 = 0
        while let member = try message.next() {
            switch member.number {
            case 1: id = try identifier(message.bytes(member), AppEntry.idPrefix)
            case 2: tenant = try identifier(message.bytes(member), TenantEntry.idPrefix)
            case 3: name = try message.bytes(member)
            case 4: owner = try identifier(message.bytes(member), UserEntry.idPrefix)
            case 5: disabled = try message.varint(member) != 0
            case 6: current = try optionalDigest(message.bytes(member))
            case 7: previous = try optionalDigest(message.bytes(member))
            case 8: previousExpires = try message.int64(member)
            default: try message.skip(member)
            }
        }
        let rotated = previous.map { RotatedSecret(digest: $0, expiresMilliseconds: previousExpires) }
        return DirectoryBuilder.Other(
            kind: .app, id: try required(id, "an app without an id"), tenant: try required(tenant, "an app without a tenant"),
            name: PrincipalName.bits(.app, try required(name, "an app without an app id"), tenant: nil), link: owner,
            secret: current.map { PrincipalSecret(digest: $0, rotated: rotated) }, disabled: disabled)
    }

    private static func keys(_ payload: UnsafeRawBufferPointer, _ builder: inout DirectoryBuilder) throws {
        var reader = WireReader(payload)
        while let field = try reader.next() {
            if field.number == 4 {
                try builder.upsertKey(try key(reader.bytes(field)))
            } else {
                try reader.skip(field)
            }
        }
        reader = WireReader(payload)
        while let field = try reader.next() {
            if field.number == 7 {
                builder.removeKey(try identifier(reader.bytes(field), KeyEntry.idPrefix))
            } else {
                try reader.skip(field)
            }
        }
    }

    private static func key(_ bytes: UnsafeRawBufferPointer) throws -> DirectoryBuilder.Key {
        var message = WireReader(bytes)
        var id: IDBits?
        var project: IDBits?
        var digest: DigestWords?
        var previous: DigestWords?
        var previousExpires: Int64 = 0
        var expires: Int64 = 0
        var disabled = false
        var models: Set<String> = []
        var capabilities: Set<String> = []
        var channels: Set<String> = []
        var user: IDBits?
        var tags: [[UInt8]] = []
        var networks: [String] = []
        var domains: Set<String> = []
        var credentials: Set<String> = []
        var rights: RoutingRights = []
        while let member = try message.next() {
            switch member.number {
            case 1: id = try identifier(message.bytes(member), KeyEntry.idPrefix)
            case 2: project = try identifier(message.bytes(member), ProjectEntry.idPrefix)
            case 3: digest = try self.digest(message.bytes(member))
            case 4: previous = try optionalDigest(message.bytes(member))
            case 5: previousExpires = try message.int64(member)
            case 6: expires = try message.int64(member)
            case 7: disabled = try message.varint(member) != 0
            case 8: models.insert(try message.string(member))
            case 9: capabilities.insert(try message.string(member))
            case 10: channels.insert(try message.string(member))
            case 11: user = try identifier(message.bytes(member), UserEntry.idPrefix)
            case 12: tags.append([UInt8](try message.bytes(member)))
            case 20: networks.append(try message.string(member))
            case 21: domains.insert(try message.string(member))
            case 40: credentials.insert(try message.string(member))
            case 70: rights.formUnion(RoutingRights(word: try message.string(member)))
            default: try message.skip(member)
            }
        }
        var origin: OriginLimits?
        if !networks.isEmpty || !domains.isEmpty {
            let list = NetworkList(networks)
            if list == nil { throw DocumentRefusal(.malformedPayload, "a key's list of networks holds what is none") }
            origin = OriginLimits(networks: networks.isEmpty ? nil : list, domains: domains.isEmpty ? nil : domains)
        }
        let isPlain =
            models.isEmpty && capabilities.isEmpty && channels.isEmpty && tags.isEmpty && origin == nil && credentials.isEmpty
            && rights.isEmpty
        return DirectoryBuilder.Key(
            id: try required(id, "a key without an id"), project: try required(project, "a key without a project"),
            digest: try required(digest, "a key without a digest"),
            rotated: previous.map { RotatedSecret(digest: $0, expiresMilliseconds: previousExpires) }, expiresMilliseconds: expires,
            disabled: disabled,
            scopes: isPlain
                ? nil
                : KeyScopes(
                    models: models, capabilities: capabilities, channels: channels, tags: tags, origin: origin,
                    credentials: credentials, rights: rights),
            user: user)
    }

    static func identifier(_ bytes: UnsafeRawBufferPointer, _ prefix: StaticString) throws(DocumentRefusal) -> IDBits {
        guard let id = IDBits(identifier: bytes, prefix: prefix) else {
            let shown = String(decoding: bytes.prefix(48), as: UTF8.self)
            throw DocumentRefusal(.malformedPayload, "\"\(shown)\" is not a \(prefix)… identifier")
        }
        return id
    }

    private static func digest(_ bytes: UnsafeRawBufferPointer) throws(DocumentRefusal) -> DigestWords {
        guard let words = DigestWords(bytes) else {
            throw DocumentRefusal(.malformedPayload, "a SHA-256 is \(bytes.count) bytes long")
        }
        return words
    }

    private static func optionalDigest(_ bytes: UnsafeRawBufferPointer) throws(DocumentRefusal) -> DigestWords? {
        bytes.isEmpty ? nil : try digest(bytes)
    }

    private static func required<T>(_ value: T?, _ problem: String) throws(DocumentRefusal) -> T {
        guard let value else { throw DocumentRefusal(.malformedPayload, problem) }
        return value
    }
}
