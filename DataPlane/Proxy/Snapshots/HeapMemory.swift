import Glibc

/// glibc keeps what was freed for the next allocation; after a document of many megabytes that would be all the process ever uses.
enum HeapMemory {
    private typealias MallocTrim = @convention(c) (Int) -> Int32

    /// malloc.h is not in Swift's import of glibc; elsewhere than in glibc there is no such function, and nothing is done.
    private static let mallocTrim: MallocTrim? = dlsym(nil, "malloc_trim").map { unsafeBitCast($0, to: MallocTrim.self) }

    static func returnUnused() { _ = mallocTrim?(0) }
}
