package import Contract

/// Which document, to the byte.
package struct DocumentMark: Hashable, Sendable {
    package let kind: DocumentKind
    package let epoch: Int64
    package let version: Int64
    /// Of a configuration that was cut to a data plane's tenants: which list of them. 0: the whole, and other kinds.
    package let revision: Int64
    /// SHA-256 of the payload.
    package let digest: [UInt8]

    package init(kind: DocumentKind, epoch: Int64, version: Int64, revision: Int64 = 0, digest: [UInt8]) {
        self.kind = kind
        self.epoch = epoch
        self.version = version
        self.revision = revision
        self.digest = digest
    }

    /// Nil for what cannot be a mark of ours: an unknown kind, a number beyond 63 bits.
    package init?(_ mark: Weir_V1_DocumentMark) {
        self.init(
            kind: mark.kind, epoch: mark.epoch, version: mark.version, revision: mark.revision, digest: Array(mark.digest))
    }

    package init?(_ acknowledgement: Weir_V1_Acknowledgement) {
        self.init(
            kind: acknowledgement.kind, epoch: acknowledgement.epoch, version: acknowledgement.version,
            revision: acknowledgement.revision, digest: Array(acknowledgement.digest))
    }

    private init?(kind: String, epoch: UInt64, version: UInt64, revision: UInt64, digest: [UInt8]) {
        guard let kind = DocumentKind(rawValue: kind), let epoch = Int64(exactly: epoch), let version = Int64(exactly: version),
            let revision = Int64(exactly: revision), digest.count <= 64
        else { return nil }
        self.init(kind: kind, epoch: epoch, version: version, revision: revision, digest: digest)
    }

    package var proto: Weir_V1_DocumentMark {
        var mark = Weir_V1_DocumentMark()
        mark.kind = kind.payloadType
        mark.epoch = UInt64(clamping: epoch)
        mark.version = UInt64(clamping: version)
        mark.revision = UInt64(clamping: revision)
        mark.digest = .init(digest)
        return mark
    }

    /// Whether a document of `epoch` and `version` orders after this one.
    package func isOlder(thanEpoch epoch: Int64, version: Int64) -> Bool { (self.epoch, self.version) < (epoch, version) }
}
