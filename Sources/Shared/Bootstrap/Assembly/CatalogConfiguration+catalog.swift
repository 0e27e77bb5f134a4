import Catalog
import Foundation

extension CatalogConfiguration {
    /// Loads the bundled integrations and the operator's own.
    /// - Throws: `CatalogError` with every fault of every file.
    package func catalog() throws(CatalogError) -> IntegrationCatalog {
        var variables: [String: String] = [:]
        if let sandboxURL {
            variables["sandbox_base"] = sandboxURL
            variables["sandbox_window"] = String(sandboxWindow)
        }
        return try IntegrationCatalog(
            directories: directories.map { URL(filePath: $0, directoryHint: .isDirectory) }, variables: variables)
    }
}
