/// "Did you mean": the known word nearest to a misspelt one.
enum Spelling {
    /// The nearest of `words` by edits, when at most a third of the letters (and at least one edit) must change.
    static func suggestion(for word: String, among words: some Sequence<String>) -> String? {
        let limit = max(1, word.count / 3)
        let nearest = words.map { (word: $0, distance: distance(word, $0)) }
            .min { ($0.distance, $0.word) < ($1.distance, $1.word) }
        guard let nearest, nearest.distance <= limit else { return nil }
        return nearest.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment).
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.lowercased().utf8)
        let b = Array(b.lowercased().utf8)
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var before: [Int] = []
        var row = Array(0...b.count)
        for i in 1...a.count {
            var next = [i]
            for j in 1...b.count {
                var best = min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, before[j - 2] + 1) }
                next.append(best)
            }
            (before, row) = (row, next)
        }
        return row[b.count]
    }
}
