//! Fuzzy matching of what was typed with what is known.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};

/// The known words that match, best first; all of them for an empty text.
#[must_use]
pub fn matching(typed: &str, known: &[String]) -> Vec<String> {
    if typed.trim().is_empty() {
        return known.to_vec();
    }
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    let mut found = pattern.match_list(known.iter(), &mut matcher);
    // Among equals the shorter word is meant: there is less in it that was not typed.
    found.sort_by_key(|(word, score)| (std::cmp::Reverse(*score), word.len()));
    found.into_iter().map(|(word, _)| word.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_comes_first() {
        let known: Vec<String> =
            ["alignment-rerun", "qc", "align", "assembly"].map(str::to_owned).to_vec();
        assert_eq!(matching("algn", &known)[0], "align");
        assert_eq!(matching("", &known), known);
        assert!(matching("zzz", &known).is_empty());
    }
}
