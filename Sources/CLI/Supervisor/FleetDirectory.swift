import Bootstrap
import Credentials
import Foundation
import Vault

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What `evergrant up` keeps on disk: `.evergrant/` with keyring, API key, journal, logs, database, sandbox state.
struct FleetDirectory: Sendable {
    let path: String

    var keyring: String { path + "/keyring" }
    var apiKey: String { path + "/api-key" }
    var journal: String { path + "/journal" }
    /// `postgres` in this directory; under `/var/lib/evergrant` when we are root and this directory lies where the
    /// server, which refuses to run as root, cannot go (`/root` is closed to other users).
    var database: String {
        guard geteuid() == 0, !othersMayEnter else { return path + "/postgres" }
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        return "/var/lib/evergrant/" + absolute.split(separator: "/").joined(separator: "-")
    }
    var sandboxState: String { path + "/sandbox.json" }
    func log(_ name: String) -> String { "\(path)/log/\(name).log" }

    /// Whether every directory on the way here, but not yet made ones, may be entered by other users.
    private var othersMayEnter: Bool {
        var reached = ""
        return URL(fileURLWithPath: path).standardizedFileURL.path.split(separator: "/").allSatisfy { part in
            reached += "/\(part)"
            var facts = stat()
            return stat(reached, &facts) != 0 || facts.st_mode & S_IXOTH != 0
        }
    }

    /// Makes the directory and its parts.
    /// - Throws: ``FleetError`` that names what cannot be made.
    func prepare() throws(FleetError) {
        var folders = [(path, 0o711), (path + "/log", 0o700), (journal, 0o700)]
        if !database.hasPrefix(path) { folders.append(("/var/lib/evergrant", 0o711)) }
        for (folder, mode) in folders {
            do {
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
            } catch {
                throw FleetError(
                    "cannot make \(folder) (\(String(cString: strerror(errno)))); choose another by --directory",
                    status: EX_CANTCREAT)
            }
        }
        guard access(path, W_OK) == 0 else {
            throw FleetError("\(path) is not writable; choose another directory by --directory", status: EX_CANTCREAT)
        }
    }

    /// Keeps the directory for this process until it ends, however it ends: two fleets would
    /// write to one sandbox state.
    /// - Throws: ``FleetError`` when another process has it.
    func lock() throws(FleetError) {
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw FleetError("cannot open \(path)/lock: \(String(cString: strerror(errno)))", status: EX_CANTCREAT)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw FleetError(
                "another `evergrant up` runs in \(path); stop it, or choose another directory by --directory",
                status: EX_UNAVAILABLE)
        }
    }

    /// A log in which the last runs can still be read, but no endless one.
    func trim(log name: String) {
        let file = log(name)
        let size = (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0
        if size > 8 << 20 { rename(file, file + ".old") }
    }

    /// Makes the keyring on the first start.
    /// - Returns: whether it was made.
    func makeKeyring() throws(VaultError) -> Bool {
        guard !FileManager.default.fileExists(atPath: keyring) else { return false }
        do {
            _ = try Keyring.generate(at: keyring)
            return true
        } catch  where error.code == .keyringExists {
            return false
        }
    }

    /// The API key of an earlier start.
    func readAPIKey() -> Secret? {
        guard let data = FileManager.default.contents(atPath: apiKey) else { return nil }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return text.isEmpty ? nil : Secret(text)
    }

    /// Keeps the API key for the next start, readable by its owner only.
    func write(apiKey key: Secret) throws(FleetError) {
        unlink(apiKey)
        let descriptor = open(apiKey, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        let text = key.revealedText() + "\n"
        guard descriptor >= 0, Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else {
            throw FleetError("cannot write \(apiKey): \(String(cString: strerror(errno)))", status: EX_CANTCREAT)
        }
        close(descriptor)
    }
}
