import CLibPQ

/// The hosts a database URL names, in order. libpq tries them itself; this is only for going on to the next when one does
/// not answer in time, which libpq leaves to a caller that does not block.
struct HostList {
    struct Host: Equatable {
        let name: String
        let port: String
    }
    private var names: [String] = []
    private var addresses: [String] = []
    private var ports: [String] = []
    /// Whether hosts were left out, so that libpq must be told which are left.
    private var isRest = false

    /// Parses `url`. `failure` makes the error of a URL that is not valid from a message and a hint; libpq quotes what it
    /// cannot parse, which may be a password, so its words are given without the quotes.
    init(parsing url: String, failure: (String, String?) -> PostgresError) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let parsed = PQconninfoParse(url, &message) else {
            let words = message.map { String(cString: $0).oneLine.withoutQuotedValues } ?? "out of memory"
            PQfreemem(message)
            throw failure("the database URL is not valid: \(words)", nil)
        }
        defer { PQconninfoFree(parsed) }
        var option = parsed
        while let keyword = option.pointee.keyword {
            let value = option.pointee.val.map { String(cString: $0) } ?? ""
            let parts = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            switch String(cString: keyword) {
            case "host": names = parts
            case "hostaddr": addresses = parts
            case "port": ports = parts
            default: break
            }
            option += 1
        }
        // Of `user:p@ss@host` libpq takes `ss@host` for the host and would show it. An @ in front is an abstract socket.
        guard names.allSatisfy({ !$0.dropFirst().contains("@") || $0.hasPrefix("/") }) else {
            throw failure("the database URL has more than one @", "write an @ in user or password as %40")
        }
        // Of `user:pa/ss@host` libpq takes `pa` for the port and would show it.
        guard ports.allSatisfy({ $0.isEmpty || UInt16($0) != nil }) else {
            throw failure(
                "the port in the database URL is not a number", "write a / or : in user or password as %2F, %3A")
        }
    }

    /// Those after `host`; nil when it was the last.
    func rest(after host: Host) -> HostList? {
        let count = max(names.count, addresses.count)
        let index = (0..<count).first { index in
            let name = names.indices.contains(index) && !names[index].isEmpty ? names[index] : addresses[index]
            let port = ports.count == count ? ports[index] : ports.first ?? ""
            return name == host.name && (port.isEmpty || port == host.port)
        }
        guard let index, index + 1 < count else { return nil }
        var rest = self
        rest.names = Array(names.dropFirst(index + 1))
        rest.addresses = Array(addresses.dropFirst(index + 1))
        if ports.count == count { rest.ports = Array(ports.dropFirst(index + 1)) }
        rest.isRest = true
        return rest
    }

    /// Options for libpq after those of the URL.
    var overrides: [(String, String)] {
        guard isRest else { return [] }
        return [("host", names), ("hostaddr", addresses), ("port", ports)]
            .filter { !$0.1.isEmpty }.map { ($0.0, $0.1.joined(separator: ",")) }
    }
}
