import Foundation
import Pacing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The segments of one journal; used by its writer thread only.
final class EscrowWriter: @unchecked Sendable {
    // Handed to one thread at its start and never used elsewhere.
    private struct Segment {
        let path: String
        let number: Int
        let begun: BootInstant
        var unsettled: Set<UUID> = []
        var size = 0
        var hasAnswers = false
        var settledAt: BootInstant?
    }

    private let configuration: EscrowJournal.Configuration
    private let incarnation: String
    private var segments: [Segment] = []
    private var file: Int32 = -1

    init(_ configuration: EscrowJournal.Configuration, incarnation: String) throws {
        self.configuration = configuration
        self.incarnation = incarnation
        try beginSegment()
    }

    func write(_ bytes: [UInt8], _ records: [EscrowRecord], durable: Bool) throws {
        let now = BootInstant.now()
        if let last = segments.last,
            last.size > configuration.segmentBytes || last.begun.duration(to: now) > configuration.segmentAge
        {
            try beginSegment()
        }
        try writeAll(bytes)
        if durable, fdatasync(file) != 0 { throw failure("fdatasync") }
        let last = segments.count - 1
        segments[last].size += bytes.count
        for record in records {
            switch record.kind {
            case .intent: break
            case .refreshAnswer, .exchangeAnswer:
                segments[last].hasAnswers = true
                segments[last].unsettled.insert(record.key)
            case .settled:
                for index in segments.indices where segments[index].unsettled.remove(record.key) != nil {
                    if segments[index].unsettled.isEmpty { segments[index].settledAt = now }
                }
            }
        }
        dropSettled(now)
    }

    /// Closes the file; removes all segments when there is nothing in them that anybody may still need.
    /// - Returns: whether the journal is gone.
    func close() -> Bool {
        Glibc.close(file)
        let now = BootInstant.now()
        guard segments.allSatisfy({ !$0.hasAnswers || isExpired($0, now) }) else { return false }
        for segment in segments { unlink(segment.path) }
        return true
    }

    private func isExpired(_ segment: Segment, _ now: BootInstant) -> Bool {
        segment.unsettled.isEmpty
            && (segment.settledAt ?? segment.begun).duration(to: now) >= configuration.keepSettled
    }

    private func dropSettled(_ now: BootInstant) {
        while segments.count > 1, let oldest = segments.first, isExpired(oldest, now) {
            unlink(oldest.path)
            segments.removeFirst()
        }
    }

    private func beginSegment() throws {
        let number = (segments.last?.number ?? 0) + 1
        let path = configuration.directory + "/\(incarnation).\(number).journal"
        let opened = open(path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw EscrowJournal.notWritable(path, String(cString: strerror(errno))) }
        if file >= 0 { Glibc.close(file) }
        file = opened
        segments.append(Segment(path: path, number: number, begun: .now()))
        try writeAll(EscrowFormat.magic)
        guard fdatasync(file) == 0 else { throw failure("fdatasync") }
        let directory = open(configuration.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            Glibc.close(directory)
        }
    }

    private func writeAll(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw failure("write") }
            rest = rest.dropFirst(written)
        }
    }

    private func failure(_ call: String) -> EscrowError {
        EscrowError(
            code: .writeFailed,
            description: "\(call) of the escrow journal in \(configuration.directory) failed: "
                + "\(String(cString: strerror(errno))); free space or repair the volume")
    }
}
