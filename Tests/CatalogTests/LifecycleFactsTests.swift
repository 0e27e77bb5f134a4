import Catalog
import Credentials
import Foundation
import Testing

/// `Vectors/lifecycle.csv`: what is known of how refresh tokens of one hundred APIs live and die; a column left empty is
/// not known. A file of the catalog that is changed must still say the same, or the table is changed with it.
@Suite struct `the lifecycle facts of one hundred APIs` {
    struct Row: Sendable, CustomTestStringConvertible {
        let api: String
        let cells: [String: String]

        var testDescription: String { api }
        func seconds(_ name: String) -> Duration? { cells[name].flatMap { Int($0) }.map { .seconds($0) } }
    }

    static let rows: [Row] = {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Vectors/lifecycle.csv")
        let lines = ((try? String(contentsOf: path, encoding: .utf8)) ?? "").split(separator: "\n")
        let names = (lines.first ?? "").split(separator: ",").map(String.init)
        return lines.dropFirst().map { line in
            let cells = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            return Row(api: cells[0], cells: Dictionary(zip(names, cells), uniquingKeysWith: { first, _ in first }))
        }
    }()

    private static let catalog = Result { try IntegrationCatalog() }

    @Test func `are one hundred`() { #expect(Self.rows.count == 100) }

    @Test(arguments: rows)
    func `stand in the catalog`(row: Row) throws {
        let id = try #require(row.cells["provider"])
        let provider = try #require(try Self.catalog.get().provider(id), "no provider \(id)")
        let replayClass: ReplayClass =
            switch row.cells["class"] {
            case "replayable": .replayable
            case "until_used": .untilUsed
            case "windowed": .windowed(seconds: Int(row.cells["window"] ?? "") ?? 0)
            default: .strict
            }
        #expect(provider.replay.replayClass == replayClass)
        #expect(provider.replay.harm.rawValue == row.cells["harm"])
        // Idle and absolute ends decide when a grant is kept alive and when its user is warned.
        if let idle = row.seconds("idle") { #expect(provider.lifetimes.idle == idle) }
        if let absolute = row.seconds("absolute") { #expect(provider.lifetimes.absolute == absolute) }
        if let access = row.seconds("access"), provider.lifetimes.access != nil {
            #expect(provider.lifetimes.access == access)
        }
    }

    @Test func `take the worst for what rotates and is not known`() throws {
        let plain = CatalogSource(
            name: "plain.yaml",
            text: "providers: {plain: {authorization_url: https://a.example/a, token_url: https://a.example/t}}")
        let provider = try #require(try IntegrationCatalog(sources: [plain]).provider("plain"))
        #expect(provider.replay == ReplayFacts(replayClass: .strict, harm: .family))
        for id in ["brex", "notion", "tiktok", "todoist", "workable", "ramp"] {
            let provider = try #require(try Self.catalog.get().provider(id))
            #expect(provider.replay == ReplayFacts(replayClass: .strict, harm: .family), "\(id)")
        }
    }
}
