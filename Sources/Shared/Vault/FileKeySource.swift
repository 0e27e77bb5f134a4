import CLibCrypto
import Credentials

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Key-encryption keys in a file that only its owner can read, in the text form of ``KeyringText``.
///
/// The file must be regular, of mode 0600 or 0400, and belong to this process's user or to root. A symbolic link is
/// followed and its target checked, through the descriptor that is then read.
package struct FileKeySource: KeyEncryptionKeySource {
    /// Longest file read, in bytes.
    static let maximumLength = 64 * 1024

    package let path: String

    package init(_ path: String) { self.path = path }

    package func load() throws(VaultError) -> [KeyEncryptionKey] {
        // Non-blocking, so that a FIFO in the file's place does not hang the start.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw cannotOpen(errno) }
        defer { close(descriptor) }
        try check(descriptor)
        var bytes = [UInt8](repeating: 0, count: Self.maximumLength + 1)
        defer { bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
                return read(descriptor, rest.baseAddress, rest.count)
            }
            if got == 0 { break }
            if got < 0 {
                if errno == EINTR { continue }
                throw VaultError(
                    .keyringUnreadable, item: item, problem: "can't be read: \(reason(errno))", hint: "check the disk")
            }
            count += got
        }
        guard count <= Self.maximumLength else {
            throw VaultError(
                .keyringMalformed, item: item, problem: "is larger than 64 KiB",
                hint: "it should hold a few lines: \(KeyringText.lineForm)")
        }
        return try KeyringText.parse(String(decoding: bytes[..<count], as: UTF8.self), place: item)
    }

    private var item: String { "keyring file \(path)" }

    private func cannotOpen(_ code: Int32) -> VaultError {
        guard code == ENOENT || code == ENOTDIR else {
            return VaultError(
                .keyringUnreadable, item: item, problem: "can't be opened: \(reason(code))",
                hint: "let user \(geteuid()) own it: chown \(geteuid()) \(path)")
        }
        return VaultError(
            .keyringMissing, item: item, problem: "does not exist",
            hint: "put back the one that sealed this database; for a new database make one: (umask 077; "
                + "echo \"key-1 $(openssl rand -base64 32) primary\" > \(path))")
    }

    private func check(_ descriptor: Int32) throws(VaultError) {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else {
            throw VaultError(
                .keyringUnreadable, item: item, problem: "can't be examined: \(reason(errno))", hint: "check the disk")
        }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw VaultError(
                .keyringUnsafe, item: item, problem: "is not a regular file", hint: "name the file that holds the keys")
        }
        let mode = facts.st_mode & 0o7777
        guard mode == 0o600 || mode == 0o400 else {
            let shown = String(mode, radix: 8)
            throw VaultError(
                .keyringUnsafe, item: item,
                problem: "has mode \(String(repeating: "0", count: max(0, 4 - shown.count)))\(shown), not 0600 or 0400",
                hint: "run: chmod 600 \(path)")
        }
        guard facts.st_uid == geteuid() || facts.st_uid == 0 else {
            throw VaultError(
                .keyringUnsafe, item: item, problem: "belongs to user \(facts.st_uid), not to \(geteuid()) or root",
                hint: "run: chown \(geteuid()) \(path)")
        }
    }
}

/// The system's words for an `errno`.
func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
