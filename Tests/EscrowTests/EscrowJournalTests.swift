import Foundation
import Logging
import Pacing
import Testing

@testable import Escrow

@Suite struct EscrowJournalTests {
    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = NSTemporaryDirectory() + "escrow-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private func journal(_ directory: String, segmentBytes: Int = 16 << 20, keep: Duration = .seconds(900)) throws
        -> EscrowJournal
    {
        var configuration = EscrowJournal.Configuration(directory: directory)
        configuration.segmentBytes = segmentBytes
        configuration.keepSettled = keep
        return try EscrowJournal(configuration, logger: Logger(label: "test"))
    }

    private func files(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    }

    /// What a process that dies leaves behind: its segments, and a lock file that nobody holds.
    private func abandon(_ records: [EscrowRecord], in directory: String, tail: [UInt8] = []) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let name = UUID().uuidString.lowercased()
        let bytes = EscrowFormat.magic + records.flatMap(EscrowFormat.encode) + tail
        try Data(bytes).write(to: URL(filePath: "\(directory)/\(name).1.journal"))
        try Data().write(to: URL(filePath: "\(directory)/\(name).lock"))
    }

    @Test func `an answer without its settling is handed over, a settled one is not`() async throws {
        try await withDirectory { directory in
            let kept = EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: [1, 2, 3])
            let settled = EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: [4])
            try abandon([kept, settled, EscrowRecord(kind: .settled, key: settled.key, payload: [])], in: directory)
            let journal = try journal(directory, keep: .zero)
            var seen: [EscrowRecord] = []
            var gone = 0
            await journal.recoverAbandoned(
                {
                    seen.append($0)
                    return .committed
                }, gone: { _ in gone += 1 })
            #expect(seen == [kept])
            #expect(gone == 1)
            journal.close()
            #expect(try files(directory).isEmpty)
        }
    }

    @Test func `an answer replaces the intent of its attempt`() async throws {
        try await withDirectory { directory in
            let key = UUID()
            let answer = EscrowRecord(kind: .exchangeAnswer, key: key, payload: [9])
            try abandon([EscrowRecord(kind: .intent, key: key, payload: []), answer], in: directory)
            let journal = try journal(directory)
            var seen: [EscrowRecord] = []
            await journal.recoverAbandoned {
                seen.append($0)
                return .committed
            }
            #expect(seen == [answer])
            journal.close()
        }
    }

    @Test func `a torn last line is passed over and all before it is kept`() async throws {
        let first = EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: Array(repeating: 7, count: 300))
        let second = EscrowFormat.encode(EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: [8]))
        for cut in 0..<second.count {
            #expect(
                EscrowFormat.decode(EscrowFormat.magic + EscrowFormat.encode(first) + second.prefix(cut)) == [first])
        }
        for position in second.indices {
            var altered = second
            altered[position] ^= 0x40
            let read = EscrowFormat.decode(EscrowFormat.magic + EscrowFormat.encode(first) + altered)
            #expect(read == [first])
        }
    }

    @Test func `a journal whose process lives is left alone`() async throws {
        try await withDirectory { directory in
            let living = try journal(directory)
            try await living.append(.refreshAnswer, key: UUID(), payload: [1])
            let other = try journal(directory)
            var seen = 0
            await other.recoverAbandoned { _ in
                seen += 1
                return .committed
            }
            #expect(seen == 0)
            other.close()
            living.close()
            #expect(try files(directory).contains { $0.hasSuffix(".journal") })
        }
    }

    @Test func `a recovery that throws keeps the journal for the next`() async throws {
        struct Unreachable: Error {}
        try await withDirectory { directory in
            try abandon([EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: [1])], in: directory)
            let journal = try journal(directory)
            #expect(await journal.recoverAbandoned { _ in throw Unreachable() } == 0)
            #expect(await journal.recoverAbandoned { _ in .committed } == 1)
            journal.close()
        }
    }

    @Test func `segments go, oldest first, once everything in them is settled and kept long enough`() async throws {
        try await withDirectory { directory in
            let journal = try journal(directory, segmentBytes: 100, keep: .zero)
            let keys = (0..<6).map { _ in UUID() }
            for key in keys {
                try await journal.append(.refreshAnswer, key: key, payload: Array(repeating: 1, count: 90))
            }
            #expect(try files(directory).filter { $0.hasSuffix(".journal") }.count >= 5)
            for key in keys { journal.settle(key, as: .committed) }
            try await journal.append(.intent, key: UUID(), payload: [])
            #expect(try files(directory).filter { $0.hasSuffix(".journal") }.count <= 2)
            journal.close()
            #expect(try files(directory).isEmpty)
        }
    }

    @Test func `a thousand callers at once are all on disk when they return`() async throws {
        try await withDirectory { directory in
            let journal = try journal(directory)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<1000 {
                    group.addTask {
                        try await journal.append(.refreshAnswer, key: UUID(), payload: [UInt8(index & 0xFF)])
                    }
                }
                try await group.waitForAll()
            }
            let segment = try #require(try files(directory).first { $0.hasSuffix(".journal") })
            let bytes = try #require(FileManager.default.contents(atPath: "\(directory)/\(segment)"))
            #expect(EscrowFormat.decode(Array(bytes)).count == 1000)
            journal.close()
        }
    }

    @Test func `settled lines stay for a failover: with the process, after it, and told with what became of them`()
        async throws
    {
        try await withDirectory { directory in
            let first = try journal(directory)
            let committed = UUID()
            let refused = UUID()
            try await first.append(.refreshAnswer, key: committed, payload: [1])
            first.settle(committed, as: .committed)
            try await first.append(.intent, key: refused, payload: [2])
            first.settle(refused, as: .noUse)
            let open = UUID()
            try await first.append(.intent, key: open, payload: [3])
            var own: [EscrowEntry] = []
            #expect(try await first.replay { own += $0 } == [first.id])
            #expect(own.map(\.settlement) == [.committed, .noUse, nil])
            #expect(own.map(\.record.payload) == [[1], [2], [3]])
            first.close()

            let second = try journal(directory)
            var open2 = 0
            await second.recoverAbandoned { record in
                #expect(record.key == open)
                open2 += 1
                return nil
            }
            #expect(open2 == 1)
            var found: [EscrowEntry] = []
            let replayed = try await second.replay { found += $0 }
            #expect(Set(replayed) == [first.id, second.id])
            #expect(found == own)
            second.close()
        }
    }

    @Test func `what a recovery settled is not handed over again, by nobody`() async throws {
        try await withDirectory { directory in
            try abandon([EscrowRecord(kind: .refreshAnswer, key: UUID(), payload: [1])], in: directory, tail: [9, 9])
            for expected in [1, 0] {
                let journal = try journal(directory)
                #expect(await journal.recoverAbandoned { _ in .alternate } == expected)
                journal.close()
            }
        }
    }

    @Test func `a directory that cannot be made is refused with its path and the repair`() throws {
        let error = #expect(throws: EscrowError.self) { try journal("/proc/no-such-place/escrow") }
        #expect(error?.description.contains("/proc/no-such-place/escrow") == true)
        #expect(error?.description.contains("EVERGRANT_ESCROW_DIRECTORY") == true)
    }
}
