import Synchronization

/// What is wrong though the process does its work: shown by `/health/ready` and `/metrics`, named, until it is right again.
package final class OperatorWarnings: Sendable {
    private let texts = Mutex<[String: String]>([:])

    package init() {}

    /// - Parameters:
    ///   - subject: What it is about, such as `credential cred_…`. Never a customer's name or a secret: anybody may ask for it.
    ///   - text: nil: nothing any more.
    package func set(_ subject: String, _ text: String?) {
        texts.withLock { $0[subject] = text }
    }

    /// In the order of their subjects.
    package var all: [String] {
        texts.withLock { texts in texts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" } }
    }
}
