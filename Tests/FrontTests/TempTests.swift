import Egress
import Foundation
import Lifecycle
import Postgres
import Store
import Testing
import Credentials
@Suite struct TempTests {
    @Test func `temp large`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let c = try await world.connected("sandbox-windowed")
            let key = try c.string("key")
            let uid = ConnectionRecord.uid(publicID: try c.string("id"))!
            let cred = try await CredentialRefresher(world.lifecycle).credential(uid: uid, environmentID: world.environment.id)
            for n in [1000, 100_000, 1_000_000, 5_000_000] {
                let r = EgressRequest(method: "GET", url: world.sandboxBase + "/windowed/api/large?bytes=\(n)", headers: [("authorization", "Bearer " + cred.tokens.accessToken.revealedText())], policy: .loopbackOnly)
                guard case .answered(_, let body) = await world.egress.stream(r) else { print("no"); continue }
                var count = 0; var chunks = 0
                for try await b in body { count += b.count; chunks += 1 }
                FileHandle.standardError.write(Data("\(("direct", n, count, chunks))\n".utf8))
            }
            for n in [1000, 100_000, 200_000, 400_000, 1_000_000] {
                let start = ContinuousClock.now
                let a = try await world.pass("GET", "/large?bytes=\(n)", connection: key)
                FileHandle.standardError.write(Data("\(("pass", n, a.body.count, ContinuousClock.now - start))\n".utf8))
            }
        }
    }
}
