/// Why the private server cannot run.
package struct EmbeddedPostgresError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// No PostgreSQL server programs on this machine.
        case notInstalled
        /// We are root, and the server refuses to run as root: no other account or tool to run it is there, or that
        /// account cannot reach the directory.
        case account
        /// Another process uses the directory.
        case inUse
        /// The data were made by another major version.
        case version
        /// initdb or the server failed; the message ends with its own words.
        case failed
        /// A file or directory could not be made or read.
        case file
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
