import Foundation
import Testing

@testable import Sandbox

@Suite struct FaultTests {
    /// Plays one fault against one refresh in `strict`; tells what the client saw, and whether the token was spent.
    private func play(_ fault: String) async throws -> (answer: WireAnswer, isSpent: Bool, line: RequestLine) {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let made = try await sandbox.control(
                "POST", "faults", "{\"class\":\"strict\",\"endpoint\":\"token-refresh\",\"count\":1,\(fault)}")
            try #require(made.status == 201, "\(made.text)")
            let answer = try await sandbox.refresh("strict", tokens.refresh)
            let line = try #require(sandbox.state.ledger().requests.last)
            let isSpent = !sandbox.state.lookup(tokens.refresh).alive
            // The fault was for one request; the next one is the provider's own.
            #expect(try await sandbox.refresh("strict", tokens.refresh).status == (isSpent ? 400 : 200))
            #expect(try sandbox.grant().inFlight == 0)
            #expect(try sandbox.grant().maximumInFlight == 1)
            return (answer, isSpent, line)
        }
    }

    @Test func `5xx before the work spends nothing`() async throws {
        let (answer, isSpent, line) = try await play(#""kind":"5xx_before""#)
        #expect(answer.status == 503)
        #expect(!isSpent)
        #expect(line.outcome == .untouched && line.delivery == .replaced && line.fault == "5xx_before")
    }

    @Test func `5xx after the work spends the token`() async throws {
        let (answer, isSpent, line) = try await play(#""kind":"5xx_after","status":502"#)
        #expect(answer.status == 502)
        #expect(answer.text("access_token") == nil)
        #expect(isSpent)
        #expect(line.outcome == .issued && line.delivery == .replaced && line.issued != nil)
    }

    @Test(arguments: ["7", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
    func `429 gives Retry-After as it was written`(text: String) async throws {
        let (answer, isSpent, _) = try await play("\"kind\":\"429\",\"retry_after\":\"\(text)\"")
        #expect(answer.status == 429)
        #expect(answer["retry-after"] == text)
        #expect(!isSpent)
    }

    @Test func `ok_false is a 200 that is none`() async throws {
        let (answer, isSpent, _) = try await play(#""kind":"ok_false","error":"token_revoked""#)
        #expect(answer.status == 200)
        #expect(answer.flag("ok") == false)
        #expect(answer.text("error") == "token_revoked")
        #expect(!isSpent)
    }

    @Test func `a false invalid_grant changes nothing`() async throws {
        let (answer, isSpent, _) = try await play(#""kind":"invalid_grant""#)
        #expect(answer.status == 400)
        #expect(answer.text("error") == "invalid_grant")
        #expect(!isSpent)
    }

    @Test func `a false invalid_client changes nothing`() async throws {
        let (answer, isSpent, _) = try await play(#""kind":"invalid_client""#)
        #expect(answer.status == 401)
        #expect(answer.text("error") == "invalid_client")
        #expect(!isSpent)
    }

    @Test func `a lost answer spends the token and sends no byte`() async throws {
        let (answer, isSpent, line) = try await play(#""kind":"lost_answer""#)
        #expect(answer.isEmpty)
        #expect(isSpent)
        #expect(line.outcome == .issued && line.delivery == .lost)
    }

    @Test func `a closed connection spends nothing and sends no byte`() async throws {
        let (answer, isSpent, line) = try await play(#""kind":"closed""#)
        #expect(answer.isEmpty)
        #expect(!isSpent)
        #expect(line.outcome == .untouched && line.delivery == .lost)
    }

    @Test func `html_200 is a page in place of an answer`() async throws {
        let (answer, isSpent, _) = try await play(#""kind":"html_200""#)
        #expect(answer.status == 200)
        #expect(answer["content-type"]?.hasPrefix("text/html") == true)
        #expect(!isSpent)
    }

    @Test func `a cut body ends before its Content-Length`() async throws {
        let (answer, isSpent, line) = try await play(#""kind":"cut_body""#)
        #expect(answer.status == 200)
        #expect(answer.isCut)
        #expect(answer.body.count * 2 <= Int(answer["content-length"] ?? "") ?? 0)
        #expect(answer.text.hasPrefix("{\"access_token\":"))
        #expect(isSpent)
        #expect(line.delivery == .lost)
    }

    @Test func `custom says what it is told, worked on or not`() async throws {
        let fault =
            #""kind":"custom","status":418,"headers":{"X-Why":"tea","Content-Type":"text/plain"},"body":"short""#
        let (answer, isSpent, _) = try await play(fault)
        #expect(answer.status == 418)
        #expect(answer["x-why"] == "tea")
        #expect(answer["content-type"] == "text/plain")
        #expect(answer.text == "short")
        #expect(!isSpent)
        #expect(try await play(fault + #","processed":true"#).isSpent)
    }

    @Test func `a slow answer is late and true`() async throws {
        let start = ContinuousClock.now
        let (answer, isSpent, line) = try await play(#""kind":"slow","ms":80"#)
        #expect(ContinuousClock.now - start >= .milliseconds(80))
        #expect(answer.status == 200)
        #expect(isSpent)
        #expect(line.delivery == .answered)
    }

    @Test(arguments: [("never", true, false), ("before", false, true), ("late", false, true)])
    func `a hang ends in a closed connection or the late answer`(
        processed: String, isEmpty: Bool, spends: Bool
    ) async throws {
        let (answer, isSpent, _) = try await play("\"kind\":\"hang\",\"ms\":50,\"processed\":\"\(processed)\"")
        #expect(answer.isEmpty == isEmpty)
        #expect(answer.isEmpty || answer.status == 200)
        #expect(isSpent == spends)
    }

    @Test func `a hang without an end lasts until its fault is removed`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let fault = try await sandbox.control("POST", "faults", #"{"kind":"hang","processed":"before"}"#)
            let id = try #require(fault.text("id"))
            async let hanging = sandbox.refresh("strict", tokens.refresh)
            // The work is done at once: its trace is what to wait for.
            while sandbox.state.lookup(tokens.refresh).alive { await Task.yield() }
            #expect(try sandbox.grant().inFlight == 1)
            #expect(try await sandbox.control("DELETE", "faults/\(id)").status == 200)
            #expect(try await hanging.status == 200)
        }
    }

    @Test func `a fault hits the class, endpoint, account and number it was made for`() async throws {
        try await withSandbox { sandbox async throws in
            let a = try await sandbox.connect("windowed", account: "a@example.com")
            let b = try await sandbox.connect("windowed", account: "b@example.com")
            try await sandbox.control(
                "POST", "faults",
                #"{"kind":"5xx_before","class":"windowed","endpoint":"api","account":"a@example.com","count":2}"#)
            #expect(try await sandbox.refresh("windowed", a.refresh).status == 200)
            #expect(try await sandbox.get("/windowed/api/me", bearer: b.access).status == 200)
            #expect(try await sandbox.get("/windowed/api/me", bearer: a.access).status == 503)
            #expect(try await sandbox.get("/windowed/api/me", bearer: a.access).status == 503)
            #expect(try await sandbox.get("/windowed/api/me", bearer: a.access).status == 200)
            let list = try await sandbox.control("GET", "faults").list("faults")
            #expect(list.first?["hits"] as? Int == 2)
            #expect(list.first?["remaining"] as? Int == 0)
        }
    }

    @Test func `faults reach the code exchange and the revocation`() async throws {
        try await withSandbox { sandbox async throws in
            try await sandbox.control("POST", "faults", #"{"kind":"lost_answer","endpoint":"token-code","count":1}"#)
            let code = try #require(try await sandbox.authorize("strict")["code"])
            #expect(try await sandbox.exchange("strict", code: code).isEmpty)
            #expect(try sandbox.grant().alive)
            // Asking again is a second use of the code.
            #expect(try await sandbox.exchange("strict", code: code).status == 400)
            #expect(try !sandbox.grant().alive)
            let tokens = try await sandbox.connect("windowed")
            try await sandbox.control("POST", "faults", #"{"kind":"5xx_before","endpoint":"revoke","count":1}"#)
            let form = [("token", tokens.refresh)] + SandboxHarness.client
            #expect(try await sandbox.post("/windowed/revoke", form).status == 503)
            #expect(sandbox.state.lookup(tokens.refresh).alive)
            #expect(try await sandbox.post("/windowed/revoke", form).status == 200)
        }
    }

    @Test func `a probability of none never strikes and of one always does`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("replayable")
            try await sandbox.control("POST", "faults", #"{"kind":"5xx_before","probability":0}"#)
            for _ in 0..<20 { #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 200) }
            try await sandbox.control("POST", "faults", #"{"kind":"5xx_before","probability":1}"#)
            #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 503)
            #expect(try await sandbox.control("DELETE", "faults").number("removed") == 2)
            #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 200)
        }
    }

    @Test func `shutdown does not wait for what hangs`() async throws {
        // What hangs never ends by itself: that this returns is the fact.
        let seen = try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            try await sandbox.control("POST", "faults", #"{"kind":"hang"}"#)
            let hanging = Task { try await sandbox.refresh("strict", tokens.refresh) }
            while try sandbox.grant().inFlight == 0 { await Task.yield() }
            return hanging
        }
        #expect(try await seen.value.isEmpty)
    }
}
