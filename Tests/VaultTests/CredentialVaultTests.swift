import Credentials
import Foundation
import Logging
import Synchronization
import Testing

@testable import Vault

@Suite struct CredentialVaultTests {
    private let keys = MemoryDataKeys()
    private let log = LogProbe()
    private let moment = Moment(Date(timeIntervalSince1970: 1_800_000_000))
    private let ring: Keyring
    private let place = SealContext(purpose: "token_set", environmentID: 1, rowID: "77", generation: 5)

    init() throws {
        ring = try Keyring([KeyEncryptionKey(id: "key-1", key: Secret(SecureRandom.bytes(32)), isPrimary: true)])
    }

    private func vault(_ ring: Keyring? = nil, _ adjust: (inout CredentialVault.Limits) -> Void = { _ in })
        -> CredentialVault
    {
        var limits = CredentialVault.Limits()
        adjust(&limits)
        return CredentialVault(
            keyring: ring ?? self.ring, repository: keys, limits: limits, logger: log.logger,
            now: { [moment] in moment.date })
    }

    /// A clock a test can set while a vault reads it.
    private final class Moment: Sendable {
        private let value: Mutex<Date>
        init(_ date: Date) { value = Mutex(date) }
        var date: Date { value.withLock { $0 } }
        func advance(_ seconds: Double) { value.withLock { $0 += seconds } }
    }

    private func fault(_ body: () async throws -> Void) async -> VaultError? {
        do { try await body() } catch { return error as? VaultError }
        return nil
    }

    @Test func `a vault that has only opened seals without its database once it was prepared`() async throws {
        let sealed = try await vault().seal(Secret("t"), place)
        let prepared = vault()
        _ = try await prepared.open(sealed, place)
        try await prepared.prepareToSeal(environmentID: 1)
        let unprepared = vault()
        _ = try await unprepared.open(sealed, place)
        keys.setReachable(false)
        _ = try await prepared.seal(Secret("an answer that exists nowhere else"), place)
        await #expect(throws: MemoryDataKeys.Unreachable.self) { try await unprepared.seal(Secret("t"), place) }
    }

    @Test func `a secret opens in its place, in this process and in another with the same keyring`() async throws {
        let first = vault()
        let sealed = try await first.seal(Secret("ya29.top-secret"), place)
        #expect(try await first.open(sealed, place) == Secret("ya29.top-secret"))
        #expect(try await vault().open(sealed, place) == Secret("ya29.top-secret"))
        #expect(try await first.open(try await first.seal(Secret([]), place), place).isEmpty)
    }

    @Test func `a sealed value moved to another row, environment, generation or purpose raises an alarm`() async throws
    {
        let vault = vault()
        let secret = "ya29.marked-secret"
        let sealed = try await vault.seal(Secret(secret), place)
        _ = try await vault.seal(Secret("other"), SealContext(purpose: "token_set", environmentID: 2, rowID: "77"))
        let elsewhere = [
            SealContext(purpose: "token_set", environmentID: 1, rowID: "78", generation: 5),
            SealContext(purpose: "token_set", environmentID: 2, rowID: "77", generation: 5),
            SealContext(purpose: "token_set", environmentID: 1, rowID: "77", generation: 4),
            SealContext(purpose: "client_secret", environmentID: 1, rowID: "77", generation: 5),
        ]
        for (count, context) in elsewhere.enumerated() {
            let error = await fault { _ = try await vault.open(sealed, context) }
            #expect(error?.code == .misplacedOrAltered)
            #expect(log.lines.count == count + 1)
        }
        #expect(log.lines.allSatisfy { $0.hasPrefix("error ") && $0.contains("misplaced_or_altered") })
        #expect(!log.lines.contains { $0.contains(secret) || $0.contains(Encoding.hex(Array(secret.utf8))) })
    }

    @Test func `two rows whose sealed values were swapped both refuse`() async throws {
        let vault = vault()
        let other = SealContext(purpose: "token_set", environmentID: 1, rowID: "78", generation: 5)
        let mine = try await vault.seal(Secret("mine"), place)
        let theirs = try await vault.seal(Secret("theirs"), other)
        #expect(await fault { _ = try await vault.open(theirs, place) }?.code == .misplacedOrAltered)
        #expect(await fault { _ = try await vault.open(mine, other) }?.code == .misplacedOrAltered)
    }

    @Test func `a value cut at any length does not open`() async throws {
        let vault = vault()
        let sealed = try await vault.seal(Secret("a secret of some length"), place)
        for length in 0..<sealed.count {
            let error = await fault { _ = try await vault.open(Array(sealed.prefix(length)), place) }
            #expect(error?.code == (length < SealedValue.overhead ? .malformed : .misplacedOrAltered))
        }
        #expect(await fault { _ = try await vault.open(sealed + [0], place) }?.code == .misplacedOrAltered)
    }

    @Test func `a value with any byte altered does not open`() async throws {
        let vault = vault()
        let sealed = try await vault.seal(Secret("a secret of some length"), place)
        for index in sealed.indices {
            for bit in [1, 0x80] as [UInt8] {
                var altered = sealed
                altered[index] ^= bit
                let code = await fault { _ = try await vault.open(altered, place) }?.code
                switch index {
                case 0: #expect(code == .malformed)
                case 1..<17: #expect(code == .unknownDataKey)
                default: #expect(code == .misplacedOrAltered)
                }
            }
        }
    }

    @Test func `another keyring cannot open, even under the same key id`() async throws {
        let sealed = try await vault().seal(Secret("x"), place)
        for id in ["key-1", "key-2"] {
            let other = try Keyring([KeyEncryptionKey(id: id, key: Secret(SecureRandom.bytes(32)), isPrimary: true)])
            #expect(await fault { _ = try await vault(other).open(sealed, place) }?.code == .keyringCannotOpen)
        }
    }

    @Test func `once its data key is known the vault does not ask the database`() async throws {
        let vault = vault()
        let sealed = try await vault.seal(Secret("x"), place)
        let reads = keys.reads
        keys.setReachable(false)
        for _ in 0..<500 { _ = try await vault.open(try await vault.seal(Secret("x"), place), place) }
        #expect(try await vault.open(sealed, place) == Secret("x"))
        #expect(keys.reads == reads)
        await #expect(throws: MemoryDataKeys.Unreachable.self) { _ = try await self.vault().open(sealed, place) }
    }

    @Test func `many processes that seal first at once share one data key`() async throws {
        let ids = try await withThrowingTaskGroup(of: UUID.self) { group in
            for _ in 0..<50 {
                let vault = vault()
                group.addTask { [place] in
                    try SealedValue(parsing: try await vault.seal(Secret("x"), place)).dataKeyID
                }
            }
            return try await group.reduce(into: Set<UUID>()) { $0.insert($1) }
        }
        #expect(ids.count == 1)
        #expect(keys.keys.count == 1)
    }

    @Test func `a data key is replaced after its number of seals, and the old one still opens`() async throws {
        var limits = CredentialVault.Limits()
        limits.seals = 10
        limits.reportEvery = 4
        let vault = CredentialVault(
            keyring: ring, repository: keys, limits: limits, logger: log.logger,
            now: { [moment] in
                moment.advance(0.001)
                return moment.date
            })
        var sealed: [[UInt8]] = []
        for index in 0..<25 { sealed.append(try await vault.seal(Secret("\(index)"), place)) }
        let ids = try sealed.map { try SealedValue(parsing: $0).dataKeyID }
        #expect(Set(ids).count == 3)
        #expect(Set(ids[0..<10]).count == 1 && Set(ids[10..<20]).count == 1 && ids[9] != ids[10])
        #expect(keys.keys.map(\.seals) == [8, 8, 4])
        for (index, value) in sealed.enumerated() {
            #expect(try await vault.open(value, place) == Secret("\(index)"))
        }
    }

    @Test func `a data key is replaced when it is 30 days old, by one process for all`() async throws {
        let vaults = [vault(), vault()]
        func id(_ index: Int) async throws -> UUID {
            try SealedValue(parsing: try await vaults[index].seal(Secret("x"), place)).dataKeyID
        }
        let first = try await id(0)
        #expect(try await id(1) == first)
        moment.advance(30 * 86_400 - 1)
        #expect(try await id(0) == first)
        moment.advance(1)
        let second = try await id(0)
        #expect(second != first)
        #expect(try await id(1) == second)
        #expect(keys.keys.count == 2)
    }

    @Test func `when a data key cannot be replaced the old one seals on, and the next try comes later`() async throws {
        let vault = vault()
        let first = try SealedValue(parsing: try await vault.seal(Secret("x"), place)).dataKeyID
        moment.advance(31 * 86_400)
        keys.setReachable(false)
        let reads = keys.reads
        for _ in 0..<5 {
            #expect(try SealedValue(parsing: try await vault.seal(Secret("x"), place)).dataKeyID == first)
        }
        #expect(keys.reads == reads + 1)
        #expect(log.lines.count == 1)
        keys.setReachable(true)
        moment.advance(60)
        #expect(try SealedValue(parsing: try await vault.seal(Secret("x"), place)).dataKeyID != first)
    }

    @Test func `seals of other processes count towards the limit`() async throws {
        let vault = vault(nil) {
            $0.seals = 100
            $0.reportEvery = 10
        }
        for _ in 0..<9 { _ = try await vault.seal(Secret("x"), place) }
        let id = try #require(keys.keys.first?.id)
        try await keys.addSeals(id: id, count: 90)
        moment.advance(1)
        _ = try await vault.seal(Secret("x"), place)
        #expect(keys.keys.map(\.seals) == [100])
        _ = try await vault.seal(Secret("x"), place)
        #expect(keys.keys.count == 2)
    }

    @Test func `the start check names the key wanted and the keys present`() async throws {
        try await vault().check()
        for environment in 1...3 {
            _ = try await vault().seal(
                Secret("x"), SealContext(purpose: "p", environmentID: Int64(environment), rowID: "1"))
        }
        try await vault().check()
        let other = try Keyring([KeyEncryptionKey(id: "b", key: Secret(SecureRandom.bytes(32)), isPrimary: true)])
        let error = try #require(await fault { try await vault(other).check() })
        #expect(error.code == .keyringCannotOpen)
        #expect(
            error.description.contains(
                "of environment 1 was wrapped under key key-1, which the keyring lacks (it holds b) (and 2 other"))
    }

    @Test func `secrets and errors print no secret`() async throws {
        let secret = Secret("ya29.marked-secret")
        #expect("\(secret)" == "<redacted>" && String(reflecting: secret) == "<redacted>")
        var dumped = ""
        dump(secret, to: &dumped)
        dump(KeyEncryptionKey(id: "k", key: secret, isPrimary: true), to: &dumped)
        dump(ring, to: &dumped)
        #expect(!dumped.contains("marked-secret") && dumped.contains("<redacted>"))
        let sealed = try await vault().seal(secret, place)
        #expect(sealed.firstRange(of: Array("marked".utf8)) == nil)
    }
}
