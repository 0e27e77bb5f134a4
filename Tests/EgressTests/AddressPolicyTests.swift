import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct AddressPolicyTests {
    /// Every way to write an address of this machine or of a private network; none answers, so that a hole in the guard
    /// shows as another failure or as an answer.
    static let hosts = [
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[fd00::1]", "[fd00:ec2::254]", "[fe80::1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:db8::1]",
    ]

    @Test(arguments: hosts)
    func `no spelling of an inside address gets past publicOnly`(host: String) async throws {
        let server = try RawServer { $0.answerAll("inside") }
        let client = EgressClient()
        let url = "http://\(host):\(server.port)/latest/meta-data?token=hush"
        let outcome = await client.send(request("GET", url, policy: .publicOnly))
        #expect(["not sent: address_refused", "not sent: resolve"].contains(outcome.words), "\(outcome.words)")
        // Only the odd last spelling is no address and no name of anything.
        if outcome.words == "not sent: resolve" { #expect(host == "127.0.0.1.") }
        #expect(server.connections == 0)
        await client.close()
    }

    @Test func `an allowed network is reached, and metadata is not`() async throws {
        let server = try RawServer { $0.answerAll("inside") }
        let client = EgressClient()
        let policy = AddressPolicy.allowing(networks: ["127.0.0.0/8", "169.254.0.0/16"])
        #expect(await client.send(request("GET", server.url, policy: policy)).text == "inside")
        let metadata = await client.send(request("GET", "http://169.254.169.254/latest", policy: policy))
        #expect(metadata.words == "not sent: address_refused")
        await client.close()
    }

    @Test func `loopback is reached over IPv6 too`() async throws {
        let server = try RawServer(ipv6: true) { $0.answerAll("six") }
        let client = EgressClient()
        #expect(await client.send(request("GET", "http://[::1]:\(server.port)/")).text == "six")
        let refused = await client.send(request("GET", "http://[::1]:\(server.port)/", policy: .publicOnly))
        #expect(refused.words == "not sent: address_refused")
        await client.close()
    }

    @Test func `a connection opened under a lenient policy is never used under a strict one`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let lenient: [AddressPolicy] = [.loopbackOnly, .allowing(networks: ["127.0.0.0/8"])]
        for policy in lenient {
            #expect(await client.send(request("GET", server.url, policy: policy)).words == "answered 200")
        }
        #expect(server.connections == 2)
        for policy in [AddressPolicy.publicOnly, .allowing(networks: ["10.0.0.0/8"])] {
            let outcome = await client.send(request("GET", server.url, policy: policy))
            #expect(outcome.words == "not sent: address_refused")
        }
        for policy in lenient {
            #expect(await client.send(request("GET", server.url, policy: policy)).words == "answered 200")
        }
        #expect(server.connections == 2, "the lenient connections were kept all the while")
        await client.close()
    }

    @Test func `a redirect to metadata is an answer, not a way`() async throws {
        let server = try RawServer { connection in
            while connection.request() != nil {
                let location = "Location: http://169.254.169.254/latest/meta-data\r\n"
                guard connection.answer("", status: "302 Found", headers: location) else { return }
            }
        }
        let client = EgressClient()
        let response = await client.send(request("GET", server.url)).response
        #expect(response?.status == 302)
        #expect(response?.headers["location"] == "http://169.254.169.254/latest/meta-data")
        #expect(server.requests.count == 1)
        await client.close()
    }

    @Test func `a network list with a fault sends nothing and names the fault`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let policy = AddressPolicy.allowing(networks: ["127.0.0.0/8", "intranet"])
        let outcome = await client.send(request("GET", server.url, policy: policy))
        #expect(outcome.words == "not sent: bad_request")
        #expect(outcome.failure?.message.contains("intranet") == true)
        #expect(server.connections == 0)
        await client.close()
    }
}
