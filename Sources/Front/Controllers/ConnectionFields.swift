/// What an app may write on a connection.
enum ConnectionFields {
    static func name(_ text: String) throws(HTTPProblem) -> String {
        guard text.count <= 200, !text.utf8.contains(0) else {
            throw .invalid("name", "is longer than 200 characters, or holds a NUL")
        }
        return text
    }

    static func tags(_ tags: [String]) throws(HTTPProblem) -> [String] {
        guard tags.count <= 50 else { throw .invalid("tags", "has more than 50 entries") }
        for tag in tags where tag.isEmpty || tag.count > 100 || tag.utf8.contains(0) {
            throw .invalid("tags", "holds an entry that is empty, longer than 100 characters, or holds a NUL")
        }
        return tags
    }

    static func metadata(_ object: JSONObject) throws(HTTPProblem) -> [UInt8] {
        guard object.bytes.count <= 16 * 1024 else { throw .invalid("metadata", "is longer than 16 KiB") }
        return object.bytes
    }
}
