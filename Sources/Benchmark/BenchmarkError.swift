/// Why a measurement has no result.
package struct BenchmarkError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// What was asked for cannot be.
        case invalid
        /// Jobs were lost, repeated or left behind: the figure would be worthless.
        case wrongCount
        /// A process or thread of the measurement failed.
        case failed
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
