import Contract
import Logging
import Primitives
import Synchronization

extension SnapshotStore {
    /// On the store's own thread. Credentials stand alone: one that cannot be used does not keep the others from being used.
    func applyNow(_ message: Weir_V1_SealedSecrets) {
        state.withLock { state in
            var next = state
            var opened: [Weir_V1_SealedSecret] = []
            var outcomes: [String: SecretRefusal?] = [:]
            for sealed in message.secrets {
                do throws(SecretRefusal) {
                    guard sealed.revision <= Int64.max else { throw .older }
                    if let held = next.secrets[sealed.credentialID], held.revision > sealed.revision { throw .older }
                    let entry = try SnapshotBoot.open(sealed, identity)
                    next.secrets[entry.id] = entry
                    opened.append(sealed)
                    outcomes[sealed.credentialID] = .some(entry.isUsable ? nil : .malformed)
                } catch {
                    outcomes[sealed.credentialID] = error
                }
            }
            for id in message.removedCredentialIds {
                next.secrets[id] = nil
                outcomes[id] = .some(nil)
            }
            do {
                let now = clock.nowMilliseconds()
                try local.write { db in
                    for sealed in opened { try SealedSecretRows.put(db, sealed, now: now) }
                    for id in message.removedCredentialIds { try SealedSecretRows.remove(db, id) }
                }
                activate(next, replacing: &state)
            } catch {
                for sealed in opened { outcomes[sealed.credentialID] = .storage }
                logger.error("credentials were not stored", metadata: ["error": "\(error)"])
            }
            for (id, refusal) in outcomes {
                report.withLock { $0.secretProblem(id, refusal.map { "credential \(id): \($0.text)" }) }
                if let refusal { logger.error("credential refused", metadata: ["credential": "\(id)", "reason": "\(refusal.text)"]) }
            }
        }
    }
}
