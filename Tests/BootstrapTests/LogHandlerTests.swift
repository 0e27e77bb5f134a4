import Foundation
import Logging
import Synchronization
import Testing

@testable import Bootstrap

/// Keeps the lines.
final class MemorySink: LogSink, Sendable {
    private let kept = Mutex<[String]>([])
    func write(_ line: String) { kept.withLock { $0.append(line) } }
    var lines: [String] { kept.withLock { $0 } }
}

@Suite struct `Log lines` {
    private func logged(_ body: (Logger) -> Void) throws -> [String: Any] {
        let sink = MemorySink()
        body(Logger(label: "worker") { JSONLogHandler(label: $0, level: .info, sink: sink) })
        #expect(sink.lines.count == 1)
        let line = try #require(sink.lines.first)
        #expect(!line.contains("\n"))
        return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test func `an event is one JSON object on one line`() throws {
        let object = try logged {
            $0.warning(
                "two\nlines \"quoted\" \\ \u{1}\u{7F} ü",
                metadata: ["job": "7", "list": ["a", "b"], "map": ["k": "v"], "message": "mine", "error": "broken"])
        }
        #expect(object["level"] as? String == "warning")
        #expect(object["logger"] as? String == "worker")
        #expect(object["message"] as? String == "two\nlines \"quoted\" \\ \u{1}\u{7F} ü")
        #expect(object["job"] as? String == "7")
        #expect(object["list"] as? [String] == ["a", "b"])
        #expect(object["map"] as? [String: String] == ["k": "v"])
        #expect(object["_message"] as? String == "mine")
        #expect(object["error"] as? String == "broken")
        let time = try #require(object["time"] as? String)
        #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
    }

    @Test func `what is less severe than the level is not written`() {
        let sink = MemorySink()
        let logger = Logger(label: "worker") { JSONLogHandler(label: $0, level: .info, sink: sink) }
        logger.debug("nothing")
        #expect(sink.lines.isEmpty)
    }

    @Test func `an event's metadata outranks the logger's`() throws {
        let object = try logged { logger in
            var logger = logger
            logger[metadataKey: "job"] = "1"
            logger[metadataKey: "kind"] = "refresh"
            logger.info("x", metadata: ["job": "2"])
        }
        #expect(object["job"] as? String == "2")
        #expect(object["kind"] as? String == "refresh")
    }

    @Test func `a text line is one line whatever it is given`() {
        let sink = MemorySink()
        let logger = Logger(label: "front") { TextLogHandler(label: $0, level: .info, sink: sink) }
        logger.info("a\nb\u{1B}[2J", metadata: ["k": "v\r"])
        let line = sink.lines.first ?? ""
        #expect(line.contains("info"))
        #expect(line.hasSuffix("front: a | b\u{FFFD}[2J k=v\u{FFFD}"))
    }

    @Test(arguments: [(0, "1970-01-01T00:00:00.007Z"), (1_709_208_000, "2024-02-29T12:00:00.007Z")])
    func `times are UTC`(seconds: Int, expected: String) {
        #expect(LogTime(seconds: seconds, milliseconds: 7).text == expected)
    }
}
