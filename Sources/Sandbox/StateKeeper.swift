import Foundation
import Logging

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Keeps clients, grants, tokens, keys, settings and the clock in a file, so that a restart forgets none of them. Codes,
/// faults, gates and ledger lines are not kept.
struct StateKeeper: Sendable {
    /// What the file holds: JSON, version 1.
    private struct Snapshot: Codable {
        var version = 1
        let settings: SandboxSettings
        let clients: [OAuthClient]
        let grants: [Grant]
        let keys: [APIKey]
        let mint: TokenMint
        let clockOffset: Double
    }

    let path: String
    let state: SandboxState
    let logger: Logger

    /// Fills the state from the file; a missing file is an empty state.
    /// - Throws: ``SandboxError`` when the file is there but not what ``save()`` writes.
    func load() throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let snapshot: Snapshot
        do {
            snapshot = try JSONDecoder().decode(Snapshot.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw SandboxError(
                code: .stateFile,
                message: "the sandbox's state file \(path) cannot be read: \(error); move it away to begin anew")
        }
        guard snapshot.version == 1 else {
            throw SandboxError(
                code: .stateFile,
                message: "the sandbox's state file \(path) has version \(snapshot.version); this build knows 1")
        }
        state.withBook { book, _ in
            book.settings = snapshot.settings
            book.ledger = Ledger(snapshot.settings)
            book.clients = Dictionary(snapshot.clients.map { ($0.id, $0) }) { $1 }
            book.grants = Dictionary(snapshot.grants.map { ($0.id, $0) }) { $1 }
            book.keys = Dictionary(snapshot.keys.map { ($0.value, $0) }) { $1 }
            book.mint = snapshot.mint
            book.clockOffset = snapshot.clockOffset
            for grant in snapshot.grants {
                for token in grant.refreshTokens {
                    book.places[token.value] = .refresh(grant: grant.id, token: token.id)
                }
                for token in grant.accessTokens { book.places[token.value] = .access(grant: grant.id, token: token.id) }
            }
        }
    }

    /// Writes the file soon after each change, until cancelled: at most every 200 ms, and at most a tenth of the time.
    func keep() async {
        var written = -1
        var pause = Duration.milliseconds(200)
        while (try? await Task.sleep(for: pause)) != nil {
            let revision = state.withBook { book, _ in book.revision }
            guard revision != written else { continue }
            do {
                let cost = try ContinuousClock().measure { try save() }
                written = revision
                pause = max(.milliseconds(200), cost * 10)
            } catch {
                logger.error("the sandbox's state file cannot be written", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Writes the file whole beside the old one (mode 0600: it holds tokens), then takes its place.
    func save() throws {
        let snapshot = state.withBook { book, _ in
            Snapshot(
                settings: book.settings, clients: book.clients.values.sorted { $0.id < $1.id },
                grants: book.grants.values.sorted { $0.id < $1.id }, keys: book.keys.values.sorted { $0.id < $1.id },
                mint: book.mint, clockOffset: book.clockOffset)
        }
        let data = try JSONEncoder().encode(snapshot)
        let draft = "\(path).\(getpid()).draft"
        try? FileManager.default.removeItem(atPath: draft)
        guard FileManager.default.createFile(atPath: draft, contents: data, attributes: [.posixPermissions: 0o600])
        else {
            throw SandboxError(code: .stateFile, message: "\(draft) cannot be written")
        }
        guard rename(draft, path) == 0 else {
            throw SandboxError(code: .stateFile, message: "\(draft) cannot be renamed to \(path): errno \(errno)")
        }
    }
}
