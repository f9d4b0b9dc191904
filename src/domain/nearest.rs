//! What may have been meant by a word that is not known.

/// Words that are like this one, the most alike first, three at most.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let most = ((word.chars().count() + 1) / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .map(|other| (distance(word, other), other))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, word)| word).collect()
}

/// Letters that have to be put in, taken out or changed; the case counts for nothing.
fn distance(a: &str, b: &str) -> usize {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (lower(a), lower(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (number, letter) in a.iter().enumerate() {
        let mut diagonal = number;
        if let Some(first) = row.first_mut() {
            *first = number + 1;
        }
        for (column, other) in b.iter().enumerate() {
            let above = row[column + 1];
            let change = diagonal + usize::from(letter != other);
            row[column + 1] = change.min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_word_is_recognised() {
        assert_eq!(nearest("ovhh", ["ovh", "azure", "local"]), ["ovh"]);
        assert_eq!(nearest("gra9", ["GRA7", "GRA9", "GRA11", "SBG5"]), ["GRA9", "GRA7"]);
        assert_eq!(nearest("swedncentral", ["swedencentral"]), ["swedencentral"]);
        assert!(nearest("x", ["azure", "lab"]).is_empty());
    }
}
