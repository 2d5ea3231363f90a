import Contract
import Primitives

/// Who is shut out, and what the operator has stopped, in force at once and whatever the directory says. Few: looked at by each request only
/// where there are any.
package struct BanSet: Sendable {
    private struct Subject: Hashable {
        /// Of a principal's kind; 0: a tenant.
        let kind: UInt8
        let id: IDBits

        static func tenant(_ id: IDBits) -> Subject { Subject(kind: 0, id: id) }
        static func principal(_ kind: Principal.Kind, _ id: IDBits) -> Subject { Subject(kind: kind.rawValue, id: id) }
    }

    /// Unix milliseconds; `Int64.max` until it is lifted.
    private var until: [Subject: Int64] = [:]

    /// Kill switches, by subject as it was written: identifiers of models are the configuration's.
    private var stopped: [String: Int64] = [:]

    /// Keys whose signatures are not looked at, and until when.
    private(set) var frozen: [IDBits: Int64] = [:]

    package static let empty = BanSet()
    package var isEmpty: Bool { until.isEmpty && stopped.isEmpty }
    package var count: Int { until.count + stopped.count + frozen.count }

    private init() {}

    /// Subjects of kinds that this release does not know are passed over.
    init(_ payload: Weir_V1_BansPayload) {
        for ban in payload.bans {
            guard let subject = Self.subject(ban.subjectID) else { continue }
            let end = Self.end(ban.expiresMs)
            until[subject] = max(until[subject] ?? end, end)
        }
        for freeze in payload.freezes {
            let key = Array(freeze.subjectID.utf8).withUnsafeBytes { IDBits(identifier: $0, prefix: KeyEntry.idPrefix) }
            if let key { frozen[key] = Self.end(freeze.expiresMs) }
        }
        for kill in payload.killSwitches {
            let end = Self.end(kill.expiresMs)
            stopped[kill.subjectID] = max(stopped[kill.subjectID] ?? end, end)
        }
    }

    /// 0: until it is lifted.
    private static func end(_ expires: Int64) -> Int64 { expires == 0 ? .max : expires }

    private static func subject(_ text: String) -> Subject? {
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBytes { bytes in
            if let id = IDBits(identifier: bytes, prefix: TenantEntry.idPrefix) { return .tenant(id) }
            for kind in [Principal.Kind.key, .app, .user, .did] {
                if let id = IDBits(identifier: bytes, prefix: kind.idPrefix) { return .principal(kind, id) }
            }
            return nil
        }
    }

    /// Why nothing may run for a principal; nil while it may. Who is linked follows: a banned user's keys, and the apps it owns.
    func interruption(of principal: Principal, nowMilliseconds: Int64) -> Interruption? {
        func isBanned(_ subject: Subject) -> Bool { until[subject].map { nowMilliseconds < $0 } ?? false }
        func banned(_ who: StaticString) -> Interruption {
            .disabled("banned", "The \(who) is banned. Ask the gateway's operator.", status: 403)
        }
        if isBanned(.tenant(principal.tenant.bits)) { return banned("tenant") }
        if isBanned(.principal(principal.kind, principal.id)) { return banned(principal.kind.word) }
        if let key = principal.delegate, isBanned(.principal(.key, key)) { return banned("key") }
        if let user = principal.user, isBanned(.principal(.user, user)) { return banned("user") }
        if let owner = principal.owner, isBanned(.principal(.user, owner)) { return banned("app's owner") }
        return stop(of: principal, nowMilliseconds: nowMilliseconds)
    }

    /// Why nothing may run for a model; nil while it may.
    func interruption(of model: CompiledModel, nowMilliseconds: Int64) -> Interruption? {
        guard !stopped.isEmpty, isStopped(model.id, nowMilliseconds) else { return nil }
        return .stopped("The model '\(model.name)'")
    }

    private func isStopped(_ subject: String, _ now: Int64) -> Bool { stopped[subject].map { now < $0 } ?? false }

    private func stop(of principal: Principal, nowMilliseconds now: Int64) -> Interruption? {
        guard !stopped.isEmpty else { return nil }
        func isStopped(_ id: IDBits, _ prefix: StaticString) -> Bool {
            self.isStopped(String(decoding: id.bytes(prefix: prefix), as: UTF8.self), now)
        }
        if self.isStopped("world", now) { return .stopped("All of this gateway") }
        if self.isStopped(principal.tenant.id, now) { return .stopped("This tenant") }
        if let project = principal.project, self.isStopped(project.id, now) { return .stopped("This project") }
        if principal.kind == .key, isStopped(principal.id, KeyEntry.idPrefix) { return .stopped("This key") }
        if principal.kind == .app, isStopped(principal.id, AppEntry.idPrefix) { return .stopped("This app") }
        if let key = principal.delegate, isStopped(key, KeyEntry.idPrefix) { return .stopped("This key") }
        return nil
    }
}
