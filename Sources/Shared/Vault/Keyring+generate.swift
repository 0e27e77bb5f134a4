import Credentials

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension Keyring {
    /// Makes a keyring file with one new primary key, mode 0600, and returns the ring.
    ///
    /// It appears whole or not at all, is on disk when this returns, and never replaces a file: of two processes that
    /// start at once one makes it, the other gets `keyringExists` and reads it.
    /// - Throws: ``VaultError`` with code `keyringExists` or `keyringUnreadable`.
    package static func generate(at path: String) throws(VaultError) -> Keyring {
        let key = KeyEncryptionKey(
            id: "key-\(SecureRandom.hex(bytes: 4))", key: Secret(SecureRandom.bytes(AESGCM.keyLength)), isPrimary: true)
        let text =
            "# Evergrant keyring: \(KeyringText.lineForm)\n"
            + "# Whoever has this file and the database can read every token; without it nobody can. Back it up apart.\n"
            + "\(key.id) \(key.key.withBytes { Encoding.base64($0) }) primary\n"
        let draft = "\(path).\(SecureRandom.hex(bytes: 8)).new"
        func failed(_ doing: String, _ code: Int32) -> VaultError {
            VaultError(
                .keyringUnreadable, item: "keyring file \(path)", problem: "can't be \(doing): \(reason(code))",
                hint: "check that its directory exists and that user \(geteuid()) may write there")
        }

        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed("made", errno) }
        defer { unlink(draft) }
        let bytes = Array(text.utf8)
        let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        let isDurable = written == bytes.count && fchmod(descriptor, 0o600) == 0 && fsync(descriptor) == 0
        let writeCode = errno
        close(descriptor)
        guard isDurable else { throw failed("written", written >= 0 && written < bytes.count ? ENOSPC : writeCode) }

        // link(2), unlike rename(2), fails when the name is taken.
        guard link(draft, path) == 0 else {
            let code = errno
            guard code == EEXIST else { throw failed("made", code) }
            throw VaultError(
                .keyringExists, item: "keyring file \(path)", problem: "exists already",
                hint: "use it, or move it away first if nothing in the database was sealed with it")
        }
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
        return try Keyring([key])
    }
}
