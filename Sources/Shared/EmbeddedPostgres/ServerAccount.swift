import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The account the server runs as: ours, or another when we are root, which the server refuses.
struct ServerAccount: Sendable {
    let user: uid_t
    let group: gid_t
    /// Nil when it is our own.
    let name: String?
    /// util-linux `setpriv`, which changes the account and makes the server end with us.
    let setpriv: String?

    /// Accounts tried for root, in order.
    static let candidates = ["postgres", "nobody"]

    static func current() throws -> ServerAccount {
        let setpriv = ["/usr/bin/setpriv", "/bin/setpriv", "/usr/local/bin/setpriv"]
            .first { FileManager.default.isExecutableFile(atPath: $0) }
        guard geteuid() == 0 else {
            return ServerAccount(user: geteuid(), group: getegid(), name: nil, setpriv: setpriv)
        }
        guard let setpriv else {
            throw EmbeddedPostgresError(
                .account,
                "PostgreSQL does not run as root, and setpriv, which would run it as another user, is missing; install "
                    + "util-linux, start Evergrant as another user, or give the URL of a database")
        }
        for name in candidates {
            if let entry = getpwnam(name)?.pointee, entry.pw_uid != 0 {
                return ServerAccount(user: entry.pw_uid, group: entry.pw_gid, name: name, setpriv: setpriv)
            }
        }
        throw EmbeddedPostgresError(
            .account,
            "PostgreSQL does not run as root, and there is no user \(candidates.joined(separator: " or ")) to run it as; "
                + "add one (useradd --system postgres), start Evergrant as another user, or give the URL of a database")
    }

    /// `arguments` to run under this account. With `endsWithUs` the process gets SIGINT when the thread that started it
    /// ends, also when this process is killed (prctl(2), PR_SET_PDEATHSIG; setpriv sets it after the change of account,
    /// which would clear it).
    func command(_ arguments: [String], endsWithUs: Bool = false) -> [String] {
        guard let setpriv else { return arguments }
        var prefix = [setpriv]
        if name != nil { prefix += ["--reuid", "\(user)", "--regid", "\(group)", "--clear-groups"] }
        if endsWithUs { prefix += ["--pdeathsig", "INT"] }
        return prefix.count == 1 ? arguments : prefix + ["--"] + arguments
    }

    /// Makes `path` with mode 0700 for this account.
    func makeDirectory(_ path: String) throws {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw EmbeddedPostgresError(.file, "cannot make \(path): \(String(cString: strerror(errno)))")
        }
        guard chmod(path, 0o700) == 0, name == nil || chown(path, user, group) == 0 else {
            throw EmbeddedPostgresError(.file, "cannot give \(path) to the server: \(String(cString: strerror(errno)))")
        }
    }

    /// Throws when this account cannot reach `path`, naming the directory that is closed to it.
    func checkReach(_ path: String) async throws {
        guard let name else { return }
        var reached = ""
        for part in path.split(separator: "/") {
            reached += "/\(part)"
            if (try? await ChildProcess.output(of: command(["/usr/bin/test", "-x", reached]))) != nil { continue }
            throw EmbeddedPostgresError(
                .account,
                "user \(name), whom the private database runs as because we are root, cannot enter \(reached); choose "
                    + "another directory, open that one (chmod o+x), start Evergrant as another user, or give the URL of "
                    + "a database")
        }
    }
}
