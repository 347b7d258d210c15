//! "Did you mean": the nearest of the words there are.

/// No field, device or profile that somebody meant has a longer name.
const LONGEST: usize = 64;
/// Among so many names one is looked for.
const MOST: usize = 256;

/// The candidate nearest to `word`, if it is near enough to be what was meant (a third of its length in edits, at least one;
/// case does not count).
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        // What is much longer or shorter cannot be near; so a text that somebody made long on purpose costs nothing.
        .filter(|candidate| candidate.chars().take(2 * LONGEST).count().abs_diff(length) <= limit)
        .take(MOST)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `, did you mean "x"?` or nothing: to be appended to a message.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    suggest(word, candidates).map_or_else(String::new, |candidate| format!(", did you mean {candidate:?}?"))
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_near_and_only_the_near() {
        let fields = ["model", "interruptRemapping", "eim", "cachingMode"];
        assert_eq!(suggest("modle", fields), Some("model"));
        assert_eq!(suggest("cachingmode", fields), Some("cachingMode"));
        assert_eq!(suggest("colour", fields), None);
    }
}
