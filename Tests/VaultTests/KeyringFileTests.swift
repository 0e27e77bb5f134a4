import Credentials
import Foundation
import Testing

@testable import Vault

@Suite struct KeyringFileTests {
    private func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "keyring-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path())
    }

    private func write(_ path: String, mode: mode_t, text: String = "key-1 \(KeyringTests.valid) primary\n") throws {
        try Data(text.utf8).write(to: URL(filePath: path))
        chmod(path, mode)
    }

    private func fault(_ path: String) -> VaultError? {
        do { _ = try FileKeySource(path).load() } catch { return error }
        return nil
    }

    @Test(arguments: [0o600, 0o400] as [mode_t])
    func `a file that only its owner can read is accepted`(_ mode: mode_t) throws {
        try inFolder { folder in
            try write("\(folder)/ring", mode: mode)
            #expect(try Keyring(loading: [FileKeySource("\(folder)/ring")]).ids == ["key-1"])
        }
    }

    @Test(arguments: [0o640, 0o604, 0o660, 0o644, 0o700, 0o440, 0o601, 0o4600] as [mode_t])
    func `any other mode is refused with the path, the mode and the command`(_ mode: mode_t) throws {
        try inFolder { folder in
            let path = "\(folder)/ring"
            try write(path, mode: mode)
            let error = try #require(fault(path))
            #expect(error.code == .keyringUnsafe)
            let shown = (mode > 0o777 ? "" : "0") + String(mode, radix: 8)
            #expect(
                error.description
                    == "keyring file \(path) has mode \(shown), not 0600 or 0400; run: chmod 600 \(path)")
        }
    }

    @Test(.enabled(if: geteuid() == 0)) func `a file of another user is refused`() throws {
        try inFolder { folder in
            let path = "\(folder)/ring"
            try write(path, mode: 0o600)
            chown(path, 65534, 65534)
            #expect(fault(path)?.description.contains("belongs to user 65534, not to 0 or root; run: chown 0") == true)
        }
    }

    @Test func `a folder, a FIFO and a missing file are refused, each in its own words`() throws {
        try inFolder { folder in
            #expect(fault(folder)?.problem == "is not a regular file")
            mkfifo("\(folder)/fifo", 0o600)
            #expect(fault("\(folder)/fifo")?.problem == "is not a regular file")
            let missing = try #require(fault("\(folder)/none"))
            #expect(missing.code == .keyringMissing)
            #expect(missing.hint.contains("openssl rand -base64 32) primary\" > \(folder)/none"))
            try write("\(folder)/large", mode: 0o600, text: String(repeating: "#\n", count: 40_000))
            #expect(fault("\(folder)/large")?.problem == "is larger than 64 KiB")
        }
    }

    @Test func `a link is followed and its target checked`() throws {
        try inFolder { folder in
            try write("\(folder)/ring", mode: 0o600)
            symlink("\(folder)/ring", "\(folder)/link")
            #expect(fault("\(folder)/link") == nil)
            chmod("\(folder)/ring", 0o644)
            #expect(fault("\(folder)/link")?.code == .keyringUnsafe)
        }
    }

    @Test func `a new keyring is private, whole, readable again, and never replaces one`() throws {
        try inFolder { folder in
            let path = "\(folder)/ring"
            let ring = try Keyring.generate(at: path)
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["ring"])
            let (wrapped, key) = try ring.newDataKey(environmentID: 1, at: Date())
            #expect(try Keyring(loading: [FileKeySource(path)]).unwrap(wrapped) == key)

            let before = try Data(contentsOf: URL(filePath: path))
            let refused = #expect(throws: VaultError.self) { try Keyring.generate(at: path) }
            #expect(refused?.code == .keyringExists)
            #expect(try Data(contentsOf: URL(filePath: path)) == before)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["ring"])
        }
    }

    @Test func `a keyring for a folder that is not there says so`() throws {
        let refused = #expect(throws: VaultError.self) { try Keyring.generate(at: "/nonexistent-folder/ring") }
        #expect(
            refused?.description.hasPrefix("keyring file /nonexistent-folder/ring can't be made: No such file") == true)
    }
}
