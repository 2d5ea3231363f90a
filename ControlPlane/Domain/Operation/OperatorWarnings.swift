import Synchronization

/// What is wrong though the process does its work: shown by `/health/ready` and `/metrics`, named, until it is right again.
package final class OperatorWarnings: Sendable {
    private let texts = Mutex<[String: String]>([:])
    private let expiries = Mutex<[String: Int64]>([:])

    package init() {}

    /// - Parameters:
    ///   - subject: What it is about, such as `credential cred_…`. Never a customer's name or a secret: anybody may ask for it.
    ///   - text: nil: nothing any more.
    package func set(_ subject: String, _ text: String?) {
        texts.withLock { $0[subject] = text }
    }

    /// - Parameter end: When what `subject` names ends, Unix milliseconds: a certificate.
    package func expires(_ subject: String, at end: Int64) {
        expiries.withLock { $0[subject] = end }
    }

    /// What ends before this time, in the order of its end.
    func expiring(before time: Int64) -> [(subject: String, end: Int64)] {
        expiries.withLock { expiries in
            expiries.filter { $0.value < time }.sorted { $0.value < $1.value }.map { ($0.key, $0.value) }
        }
    }

    /// In the order of their subjects.
    package var all: [String] {
        texts.withLock { texts in texts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" } }
    }
}
