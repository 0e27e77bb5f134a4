import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Keeps a cluster's directory for one process: a lock on a file in it, which the kernel gives back when the process
/// ends, however it ends.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// Throws `inUse` when another process has the lock.
    init(_ directory: String) throws {
        let path = directory + "/lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw EmbeddedPostgresError(.file, "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let owner = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
            throw EmbeddedPostgresError(
                .inUse,
                "the private database in \(directory) is in use by "
                    + (owner.isEmpty ? "another process" : "process \(owner)") + "; stop that, or use another directory"
            )
        }
        ftruncate(descriptor, 0)
        let text = "\(getpid())"
        _ = pwrite(descriptor, text, text.utf8.count, 0)
    }

    deinit {
        // Explicitly: a child being started at this moment shares the open file until it executes its program.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
