import Testing

@testable import Proxy

@Suite("Objects that each request makes")
struct ObjectSizeTests {
    /// What is larger than 1,032 bytes glibc's cache of each thread does not keep: making and freeing it takes several times as long.
    @Test func fitMallocsCache() {
        for type in [Attempt.self, Admission.self, Exchange.self] as [AnyClass] {
            // Behind the kind, the superclass, the flags and the address point (ABI/TypeMetadata.rst, without Objective-C).
            let size = unsafeBitCast(type, to: UnsafeRawPointer.self).load(fromByteOffset: 24, as: UInt32.self)
            #expect(size > 100 && size <= 1032, "\(type)")
        }
    }
}
