import Foundation
import Logging
import Postgres
import Synchronization
import TestSupport

@testable import Queue

/// The plans of everything that one session runs, statements inside functions included, with the rows that each node
/// read: auto_explain tells them as notices (PostgreSQL manual, F.4).
final class PlanRecorder: Sendable {
    /// One scan of a table or an index.
    struct Scan: Sendable, CustomStringConvertible {
        let node: String
        let table: String
        let index: String?
        /// Rows read, those that a filter refused included.
        let rows: Int
        let query: String

        var description: String {
            "\(node) of \(table)\(index.map { " by \($0)" } ?? ""), \(rows) rows, in: \(query.prefix(200))"
        }
    }

    private final class Notices: Sendable {
        let texts = Mutex<[String]>([])
    }

    private struct Handler: LogHandler {
        let notices: Notices
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            if let text = event.metadata?["message"] { notices.texts.withLock { $0.append("\(text)") } }
        }
    }

    private let pool: PostgresPool
    private let notices = Notices()

    /// One session, kept to the end.
    init(_ database: TestDatabase, settings: [String: String]) async throws {
        var configuration = PostgresConfiguration(url: database.url)
        configuration.maximumConnections = 1
        configuration.settings = settings
        configuration.statementTimeout = .seconds(120)
        let notices = notices
        pool = PostgresPool(configuration, logger: Logger(label: "plans") { _ in Handler(notices: notices) })
        try await pool.executeScript(
            PostgresStatement(
                "explain everything",
                """
                load 'auto_explain';
                set auto_explain.log_min_duration = 0;
                set auto_explain.log_nested_statements = on;
                set auto_explain.log_analyze = on;
                set auto_explain.log_timing = off;
                set auto_explain.log_format = json;
                set auto_explain.log_level = notice;
                """))
    }

    func close() async { await pool.close() }

    /// Runs `body` in a transaction that is rolled back; returns what was scanned.
    func scans(_ body: (PostgresTransaction) async throws -> Void) async throws -> [Scan] {
        notices.texts.withLock { $0 = [] }
        do {
            try await pool.transaction { transaction async throws in
                try await body(transaction)
                throw RolledBack()
            }
        } catch is RolledBack {}
        var scans: [Scan] = []
        for text in notices.texts.withLock({ $0 }) {
            guard let start = text.firstIndex(of: "{"), text.hasPrefix("duration:") else { continue }
            let plan = try JSONSerialization.jsonObject(with: Data(text[start...].utf8)) as? [String: Any] ?? [:]
            let query = (plan["Query Text"] as? String ?? "").split(whereSeparator: \.isWhitespace).joined(
                separator: " ")
            Self.collect(plan["Plan"] as? [String: Any] ?? [:], query, &scans)
        }
        return scans
    }

    private static func collect(_ node: [String: Any], _ query: String, _ scans: inout [Scan]) {
        func number(_ key: String) -> Int { (node[key] as? NSNumber)?.intValue ?? 0 }
        let children = node["Plans"] as? [[String: Any]] ?? []
        let type = node["Node Type"] as? String ?? ""
        let isScan = type.hasSuffix("Scan") && node["Relation Name"] != nil || type == "Bitmap Index Scan"
        if isScan {
            // A bitmap's own count is of pages' worth; its heap scan counts the rows.
            let rows =
                type == "Bitmap Index Scan"
                ? 0
                : (number("Actual Rows") + number("Rows Removed by Filter")
                    + number("Rows Removed by Index Recheck")) * number("Actual Loops")
            scans.append(
                Scan(
                    node: type, table: node["Relation Name"] as? String ?? "", index: node["Index Name"] as? String,
                    rows: rows, query: query))
        }
        for child in children { collect(child, query, &scans) }
    }
}
