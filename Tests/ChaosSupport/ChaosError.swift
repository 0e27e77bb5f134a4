/// Why a run cannot be made; nothing that the code under test did.
package struct ChaosError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
