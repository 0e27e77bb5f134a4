/// The templates of a test process, each made once.
actor TestTemplates {
    static let shared = TestTemplates()

    private var makers: [String: @Sendable (String) async throws -> Void] = [:]
    private var databases: [String: Task<String, any Error>] = [:]

    func register(_ name: String, _ make: @escaping @Sendable (String) async throws -> Void) {
        if makers[name] == nil { makers[name] = make }
    }

    /// The name of the template's database; nil for the empty one.
    func database(of template: TestDatabase.Template) async throws -> String? {
        if template == .empty { return nil }
        if let made = databases[template.name] { return try await made.value }
        guard let make = makers[template.name] else { throw UnknownTemplate(name: template.name) }
        let task = Task {
            let name = try await TestCluster.shared.createDatabase(template: nil)
            try await make(try await TestCluster.shared.url(database: name))
            return name
        }
        databases[template.name] = task
        return try await task.value
    }
}

/// A template that nobody has registered.
struct UnknownTemplate: Error, CustomStringConvertible {
    let name: String
    var description: String { "no test template \(name); call TestDatabase.registerTemplate first" }
}
