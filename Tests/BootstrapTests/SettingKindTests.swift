import Testing

@testable import Bootstrap

@Suite struct `Kinds of settings` {
    @Test(arguments: [
        ("250ms", Duration.milliseconds(250)), ("30s", .seconds(30)), ("5m", .seconds(300)), ("6h", .seconds(21_600)),
        ("7d", .seconds(604_800)), ("1h30m", .seconds(5400)), ("1 m 5 s", .seconds(65)), ("0s", .zero),
    ])
    func `a duration is numbers with units`(text: String, expected: Duration) {
        #expect(DurationText.parse(text) == expected)
    }

    @Test(arguments: ["", "5", "s", "1x", "-1s", "1.5s", "99999999999999999999s", "999999999d"])
    func `other texts are no duration`(text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(arguments: ["250ms", "30s", "5m", "90m", "6h", "7d", "0s"])
    func `a printed duration reads back`(text: String) throws {
        let duration = try #require(DurationText.parse(text))
        #expect(DurationText.parse(DurationText.print(duration)) == duration)
    }

    @Test(arguments: [
        "https://connect.example.com", "http://localhost:8080", "https://connect.example.com/",
    ])
    func `an origin is scheme, host and port`(text: String) throws {
        let value = try SettingKind<String>.origin.parse(text)
        #expect(!value.hasSuffix("/"))
    }

    @Test(arguments: ["", "connect.example.com", "ftp://a", "https://", "https://a/b", "https://a?b", "https://u@a"])
    func `anything else is refused`(text: String) {
        #expect(throws: SettingProblem.self) { try SettingKind<String>.origin.parse(text) }
    }

    @Test func `a choice suggests the word that was meant`() {
        #expect(
            throws: SettingProblem(
                problem: "is none of its words", repair: "write one of auto, json, text; did you mean json?")
        ) {
            try SettingKind<LogConfiguration.Format>.choice.parse("jason")
        }
    }

    @Test func `likeness ignores what is too different`() {
        #expect(Likeness.closest(to: "workr", among: ["worker", "front"]) == "worker")
        #expect(Likeness.closest(to: "xyz", among: ["worker", "front"]) == nil)
        #expect(Likeness.edits(Array("ab".utf8), Array("ba".utf8)) == 1)
    }
}
