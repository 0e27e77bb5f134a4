import Credentials
import Foundation

extension URLTemplate {
    /// Where a URL leads, as trouble is counted by: host and port, and behind them what names a tenant in the path.
    package struct Place: Sendable, Hashable {
        package let name: String
        /// Whether connections of one OAuth app may have different ones: a value in it is neither pinned by the
        /// operator nor the provider's usual one.
        package let isOfTenant: Bool
    }

    /// - Parameter pinned: the values that the operator set for all connections.
    /// - Throws: as ``resolve(_:)``.
    package func place(_ values: [String: String], pinned: [String: String]) throws(InvalidValue) -> Place {
        let parts = URLComponents(string: try resolve(values))
        var name = (parts?.host ?? "").lowercased() + (parts?.port.map { ":\($0)" } ?? "")
        var isOfTenant = false
        for (pieces, isPath) in [(authority, false), (rest, true)] {
            for case .name(let place) in pieces {
                guard let value = values[place.name] ?? place.defaultValue else { continue }
                if isPath { name += "/" + value.prefix(100) }
                if pinned[place.name] == nil, value != place.defaultValue { isOfTenant = true }
            }
        }
        return Place(name: name, isOfTenant: isOfTenant)
    }
}
