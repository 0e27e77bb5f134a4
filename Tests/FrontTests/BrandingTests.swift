import Egress
import Foundation
import Store
import Testing

/// How an environment's window looks, and what is refused when it is saved.
@Suite struct BrandingTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Sources/Front/Assets/window/languages")

    @Test func `colours, corners, font and texts reach the window's style sheet`() async throws {
        try await FrontWorld.with { world in
            let saved = try await world.call(
                "PATCH", "/v1/environment",
                ##"{"branding":{"light":{"accent":"#5b2a86"},"radius":6,"font":"Inter, sans-serif","footer":""}}"##)
            #expect(saved.status == 200, "\(saved.text)")
            let sheet = try await Browser(world: world).get("/e/\(world.environment.uid)/brand.css")
            #expect(sheet.text.contains("--accent:#5b2a86"))
            #expect(sheet.text.contains("--radius:6px"))
            #expect(sheet.text.contains("--font:Inter, sans-serif"))
            let cleared = try await world.call("PATCH", "/v1/environment", #"{"branding":{}}"#)
            #expect(cleared.status == 200)
            #expect(try await Browser(world: world).get("/e/\(world.environment.uid)/brand.css").text.isEmpty)
        }
    }

    @Test(arguments: [
        (##"{"light":{"accent":"#ffe08a"}}"##, "branding.light.accent"),
        (##"{"light":{"accent":"#777777","on_accent":"#999999"}}"##, "branding.light.on_accent"),
        (##"{"dark":{"text":"#444444"}}"##, "branding.dark.text"),
        (##"{"light":{"accent":"red;}*{"}}"##, "branding.light.accent"),
        (##"{"font":"x;} body{display:none"}"##, "branding.font"), (##"{"font":"'Inter"}"##, "branding.font"),
        (##"{"radius":33}"##, "branding.radius"), (##"{"theme":"pink"}"##, "branding.theme"),
    ])
    func `a look that people cannot read, or that is no look, is refused by name`(branding: String, field: String)
        async throws
    {
        try await FrontWorld.with { world in
            let answer = try await world.call("PATCH", "/v1/environment", #"{"branding":\#(branding)}"#)
            #expect(answer.status == 400)
            #expect(answer.text.contains(field), "\(answer.text)")
        }
    }

    @Test func `a PNG is written anew without what hides in it, and anything else is refused`() async throws {
        try await FrontWorld.with { world in
            let png = [UInt8](
                try #require(
                    Data(
                        base64Encoded:
                            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
                    )))
            func put(_ body: [UInt8], _ type: String = "image/png") async throws -> Answer {
                try await Answer.of(
                    world.egress, "PUT", world.base + "/v1/environment/logo",
                    [("authorization", "Bearer \(world.key)"), ("content-type", type)], body)
            }
            let stored = try await put(png + Array("<script>alert(1)</script>".utf8))
            #expect(stored.status == 200, "\(stored.text)")
            let shown = try await Browser(world: world).get(try stored.string("url"))
            #expect(shown.body == png)
            #expect(shown.headers["content-type"] == "image/png")
            #expect(try await put(Array("<svg xmlns='http://www.w3.org/2000/svg'/>".utf8)).status == 400)
            #expect(try await put(Array(png.dropLast(20))).text.contains("ends early"))
            var damaged = png
            damaged[45] ^= 1
            #expect(try await put(damaged).text.contains("damaged"))
            #expect(try await put(png, "image/svg+xml").status == 415)
            #expect(try await world.call("DELETE", "/v1/environment/logo").status == 204)
            #expect(try await Browser(world: world).get(try stored.string("url")).status == 404)
        }
    }

    @Test func `every language has every text, with the same values in it, and a text for every error code`() throws {
        func read(_ name: String) throws -> [String: String] {
            try JSONDecoder().decode(
                [String: String].self, from: Data(contentsOf: Self.folder.appending(path: "\(name).json")))
        }
        func values(_ text: String) -> Set<String> { Set(text.matches(of: /\{\w+\}/).map { String($0.0) }) }
        let english = try read("en")
        for code in ConnectErrorCodes.all {
            #expect(english["error.\(code).title"] != nil, "\(code)")
            #expect(english["error.\(code).text"] != nil, "\(code)")
        }
        for language in ["de", "es", "fr", "ja", "pt-BR"] {
            let texts = try read(language)
            #expect(Set(texts.keys) == Set(english.keys), "\(language)")
            for (key, text) in english {
                #expect(values(texts[key] ?? "") == values(text), "\(language) \(key)")
                #expect(texts[key]?.isEmpty == false)
            }
        }
    }
}
