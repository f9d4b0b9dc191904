//! Kinds of machines that can be hired, and which of them a form asks for.

use super::recruit::RecruitForm;
use crate::domain::filter::matches_glob;

/// A kind of machine in one region of one provider.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flavor {
    pub name: String,
    pub provider: String,
    pub region: String,
    pub cpu: u32,
    /// GiB.
    pub ram: f64,
    /// GiB.
    pub disk: f64,
    pub gpu: String,
    /// GiB.
    pub gpu_memory: f64,
    pub tags: String,
    /// Per hour.
    pub cost: f64,
    /// How many are taken away by their provider, percent.
    pub eviction: f64,
    /// How many more the quota allows, where it is known.
    pub available: Option<u32>,
}

/// A condition of a protofilter.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    item: &'static str,
    comparator: &'static str,
    value: String,
}

/// What a condition can be about, and whether that is a number.
const ITEMS: [(&str, bool); 10] = [
    ("cpu", true),
    ("ram", true),
    ("disk", true),
    ("gpumem", true),
    ("cost", true),
    ("eviction", true),
    ("tags", false),
    ("region", false),
    ("provider", false),
    ("name", false),
];

const COMPARATORS: [&str; 10] = ["==", "!=", ">=", "<=", "!~", "!#", ">", "<", "~", "#"];

/// Reads `auto[:item comparator value]…`; none for the name of a flavor.
///
/// # Errors
/// Which part is wrong, and at which character.
pub fn protofilter(text: &str) -> Result<Option<Vec<Condition>>, String> {
    let mut parts = text.split(':');
    if parts.next() != Some("auto") {
        return Ok(None);
    }
    let mut conditions = Vec::new();
    let mut at = "auto".len() + 1;
    for part in parts {
        let begins = COMPARATORS.iter().filter_map(|sign| Some((part.find(sign)?, *sign)));
        // Of two that begin at the same place the longer one is meant.
        let found = begins.min_by_key(|(place, sign)| (*place, std::cmp::Reverse(sign.len())));
        let Some((place, comparator)) = found else {
            return Err(format!("`{part}` at character {} has no comparator such as >=", at + 1));
        };
        let name = part.get(..place).unwrap_or_default();
        let value = part.get(place + comparator.len()..).unwrap_or_default();
        let Some((item, is_number)) = ITEMS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = ITEMS.iter().map(|(name, _)| *name).collect();
            return Err(format!("`{name}` at character {}: {}", at + 1, known.join(" ")));
        };
        if *is_number && value.parse::<f64>().is_err() {
            let column = at + place + comparator.len() + 1;
            return Err(format!("`{value}` at character {column} is no number"));
        }
        conditions.push(Condition { item, comparator, value: value.to_owned() });
        at += part.len() + 1;
    }
    Ok(Some(conditions))
}

/// The flavors that a form asks for, cheapest first.
#[must_use]
pub fn matching<'a>(form: &RecruitForm, flavors: &'a [Flavor]) -> Vec<&'a Flavor> {
    let mut found: Vec<&Flavor> =
        flavors.iter().filter(|flavor| fits(form, flavor, None)).collect();
    found.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.name.cmp(&b.name)));
    found
}

/// What a field may be completed to, given what stands in the others.
#[must_use]
pub fn candidates(form: &RecruitForm, flavors: &[Flavor]) -> Vec<String> {
    let of: fn(&Flavor) -> &str = match form.focused() {
        "flavor" => |flavor| &flavor.name,
        "region" => |flavor| &flavor.region,
        "provider" => |flavor| &flavor.provider,
        _ => return Vec::new(),
    };
    let fitting = flavors.iter().filter(|flavor| fits(form, flavor, Some(form.focused())));
    let mut words: Vec<String> = fitting.map(|flavor| of(flavor).to_owned()).collect();
    words.sort();
    words.dedup();
    words
}

/// Whether a flavor fits all fields but the one that is being completed.
fn fits(form: &RecruitForm, flavor: &Flavor, without: Option<&str>) -> bool {
    let is_free = |field: &str| without == Some(field) || matches!(form.value(field), "" | "auto");
    let name = form.value("flavor");
    let fits_flavor = match protofilter(name) {
        _ if is_free("flavor") => true,
        Ok(Some(conditions)) => conditions.iter().all(|condition| holds(condition, flavor)),
        Ok(None) => flavor.name.starts_with(name),
        // While it is typed it makes no sense yet.
        Err(_) => false,
    };
    fits_flavor
        && (is_free("region") || flavor.region == form.value("region"))
        && (is_free("provider") || flavor.provider == form.value("provider"))
}

fn holds(condition: &Condition, flavor: &Flavor) -> bool {
    let number = match condition.item {
        "cpu" => f64::from(flavor.cpu),
        "ram" => flavor.ram,
        "disk" => flavor.disk,
        "gpumem" => flavor.gpu_memory,
        "cost" => flavor.cost,
        "eviction" => flavor.eviction,
        _ => return holds_text(condition, flavor),
    };
    let wanted: f64 = condition.value.parse().unwrap_or(f64::NAN);
    match condition.comparator {
        "==" => (number - wanted).abs() < 1e-9,
        "!=" => (number - wanted).abs() >= 1e-9,
        ">=" => number >= wanted,
        "<=" => number <= wanted,
        ">" => number > wanted,
        "<" => number < wanted,
        _ => false,
    }
}

/// `~` compares with a pattern in which `%` stands for any letters, `#` looks
/// for a part.
fn holds_text(condition: &Condition, flavor: &Flavor) -> bool {
    let text = match condition.item {
        "tags" => &flavor.tags,
        "region" => &flavor.region,
        "provider" => &flavor.provider,
        _ => &flavor.name,
    };
    let value = &condition.value;
    let is_like = || matches_glob(&value.replace('%', "*"), text);
    match condition.comparator {
        "==" => text == value,
        "!=" => text != value,
        "~" => is_like(),
        "!~" => !is_like(),
        "#" => text.contains(value.as_str()),
        "!#" => !text.contains(value.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::LineEdit;
    use crate::tui::testing::flavors;

    fn form(fields: &[(usize, &str)]) -> RecruitForm {
        let mut form = RecruitForm::new(&[]);
        for (field, value) in fields {
            form.fields[*field] = LineEdit::new(value);
        }
        form
    }

    fn names(form: &RecruitForm) -> Vec<String> {
        let of = |flavor: &&Flavor| format!("{} {}", flavor.name, flavor.region);
        matching(form, &flavors()).iter().map(of).collect()
    }

    #[test]
    fn flavors_are_found_by_name_and_by_protofilter_cheapest_first() {
        assert_eq!(names(&form(&[(2, "b2")])), ["b2-7 GRA11", "b2-7 UK1", "b2-30 GRA11"]);
        assert_eq!(
            names(&form(&[(2, "auto:cpu>=8")])),
            ["b2-30 GRA11", "Standard_D8 swedencentral"]
        );
        assert_eq!(names(&form(&[(2, "auto:cpu>=2:region~%K1")])), ["b2-7 UK1"]);
        assert_eq!(names(&form(&[(2, "auto:ram>8:provider!=azure")])), ["b2-30 GRA11"]);
        assert_eq!(names(&form(&[(2, "auto:tags#S:cost<1")])), ["Standard_D8 swedencentral"]);
        assert!(names(&form(&[(2, "auto:cpu>=")])).is_empty(), "not yet a filter");
    }

    #[test]
    fn each_field_narrows_the_others_down() {
        let mut some = form(&[(2, "auto:cpu>=8")]);
        some.focus = 3;
        assert_eq!(candidates(&some, &flavors()), ["GRA11", "swedencentral"]);
        let mut some = form(&[(2, "b2"), (3, "UK1")]);
        some.focus = 2;
        assert_eq!(candidates(&some, &flavors()), ["b2-7"], "a region narrows flavors");
        some.focus = 4;
        assert_eq!(candidates(&some, &flavors()), ["ovh"]);
        some.focus = 0;
        assert!(candidates(&some, &flavors()).is_empty());
    }
}
