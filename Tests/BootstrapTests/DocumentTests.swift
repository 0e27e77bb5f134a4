import Foundation
import Testing

@testable import Bootstrap

/// Tables of `docs/` that are written from the code. `EVERGRANT_TEST_REWRITE=1` writes them anew.
@Suite struct `Documents` {
    @Test func `the documentation lists every key as it is`() throws {
        try compare("configuration.md", table: SettingsDocument.tables())
    }

    @Test func `the documentation lists every metric as it is`() throws {
        try compare("metrics.md", table: MetricsTable.document)
        #expect(Set(MetricsTable.rows.map(\.name)).count == MetricsTable.rows.count)
    }

    private func compare(_ name: String, table: String) throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/\(name)")
        let text = try String(contentsOf: file, encoding: .utf8)
        let mark = try #require(
            text.firstRange(of: /<!-- The tables? below (is|are) written by the tests; see CONTRIBUTING.md. -->\n\n/),
            "docs/\(name) has lost its mark")
        let expected = String(text[..<mark.upperBound]) + table
        if ProcessInfo.processInfo.environment["EVERGRANT_TEST_REWRITE"] != nil {
            try expected.write(to: file, atomically: true, encoding: .utf8)
        } else {
            #expect(text == expected, "run: EVERGRANT_TEST_REWRITE=1 ./dev test --only swift --filter BootstrapTests")
        }
    }
}
