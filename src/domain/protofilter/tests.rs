//! What is meant by filters, and how wrong ones are told.

use proptest::prelude::*;

use super::*;

/// Six kinds of machines that differ in all that can be asked for.
fn market() -> Vec<Flavor> {
    let flavor = |name: &str, provider: &str, region: &str, cpu| {
        Flavor::new(name, &ProviderName::new(provider), &RegionName::new(region), cpu)
    };
    vec![
        Flavor {
            ram: Some(2.0),
            disk: Some(25.0),
            cost: Some(0.01),
            eviction: Some(0.0),
            ..flavor("d2-2", "ovh", "GRA11", 1)
        },
        Flavor {
            ram: Some(30.0),
            disk: Some(200.0),
            cost: Some(0.4),
            eviction: Some(0.0),
            tags: "N".to_owned(),
            ..flavor("b2-30", "ovh", "GRA11", 8)
        },
        Flavor {
            ram: Some(45.0),
            disk: Some(300.0),
            cost: Some(1.8),
            eviction: Some(0.0),
            tags: "GN".to_owned(),
            gpu: Some("V100S".to_owned()),
            gpu_memory: Some(32.0),
            ..flavor("t2-45", "ovh", "SBG5", 14)
        },
        Flavor {
            ram: Some(64.0),
            disk: Some(2000.0),
            cost: Some(0.9),
            eviction: Some(0.0),
            tags: "M".to_owned(),
            ..flavor("bm-s1", "ovh", "GRA11", 16)
        },
        Flavor {
            ram: Some(32.0),
            disk: Some(64.0),
            cost: Some(0.1),
            eviction: Some(20.0),
            ..flavor("Standard_D8s_v5", "azure", "swedencentral", 8)
        },
        flavor("shape", "lab", "hall-2", 4),
    ]
}

/// Number of the flavors above that are meant, or why the text is no filter.
fn chosen(text: &str) -> String {
    match text.parse::<Filter>() {
        Ok(filter) => {
            let market = market();
            let numbers = market.iter().enumerate().map(|(number, flavor)| {
                if filter.fits(flavor) { number.to_string() } else { String::new() }
            });
            numbers.collect()
        }
        Err(error) => format!("{}: {}", error.at, error.reason),
    }
}

/// What is written, and which of the market it chooses or why it is refused.
const TABLE: &[(&str, &str)] = &[
    ("auto", "0125"),
    ("auto:cpu>=1", "0125"),
    ("auto:cpu>=8", "12"),
    ("auto:cpu>8", "2"),
    ("auto:cpu==8", "1"),
    ("auto:cpu!=8", "025"),
    ("auto:cpu<=4", "05"),
    ("auto:cpu<4", "0"),
    ("auto:cpu>=8:ram>=40", "2"),
    ("auto:ram>=2", "012"),
    ("auto:ram!=2", "12"),
    ("auto:ram>=29.5", "12"),
    ("auto:disk>100", "12"),
    ("auto:disk>=0", "012"),
    ("auto:gpumem>=16", "2"),
    ("auto:gpumem==0", "015"),
    ("auto:cost<=0.4", "01"),
    ("auto:cost<0.4", "0"),
    ("auto:cost>=0", "012"),
    ("auto:eviction<=100", "0124"),
    ("auto:eviction<=5", "012"),
    ("auto:eviction>=10", "4"),
    ("auto:eviction==0:cpu>=8", "12"),
    ("auto:tags#M", "3"),
    ("auto:tags#G", "2"),
    ("auto:tags#GN", "2"),
    ("auto:tags#NG", "2"),
    ("auto:tags!#G", "0135"),
    ("auto:tags!#GM", "015"),
    ("auto:tags==N", "1"),
    ("auto:tags!=N", "0235"),
    ("auto:tags~%N%", "12"),
    ("auto:region==GRA11", "01"),
    ("auto:region!=GRA11", "25"),
    ("auto:region~GRA%", "01"),
    ("auto:region~gra%", "01"),
    ("auto:region~GRA", ""),
    ("auto:region~%11", "01"),
    ("auto:region~%-2", "5"),
    ("auto:region!~GRA%", "25"),
    ("auto:region~%", "0125"),
    ("auto:provider==ovh", "012"),
    ("auto:provider~%o%", "012"),
    ("auto:provider==azure:eviction>=0", "4"),
    ("auto:name~b%", "1"),
    ("auto:name==bm-s1", ""),
    ("auto:name==bm-s1:tags#M", "3"),
    ("auto:name~Standard_D%s_v5:eviction<=20", "4"),
    ("auto:cpu>=1:cpu<=8:cost>=0.01", "01"),
    ("b2-30", "1"),
    ("bm-s1", "3"),
    ("Standard_D8s_v5", "4"),
    ("B2-30", ""),
    ("", "1: name a flavor, or a filter such as auto:cpu>=8"),
    ("b2 30", "3: ' ' at character 3 is no part of a flavor's name; a filter begins with `auto`"),
    ("cpu:8", "4: ':' at character 4 is no part of a flavor's name; a filter begins with `auto`"),
    ("auto:", "6: a condition such as cpu>=8 is missing at character 6"),
    ("auto:cpu>=8:", "13: a condition such as cpu>=8 is missing at character 13"),
    ("auto:cpu", "6: `cpu` at character 6 has no comparator such as >="),
    ("auto:cpu=8", "6: `cpu=8` at character 6 has no comparator such as >="),
    ("auto:cpu>=", "11: a value for cpu is missing at character 11"),
    ("auto:cpu>=8:ram>=x", "18: `x` at character 18 is no number"),
    ("auto:cpu>=-8", "11: `-8` at character 11 is no number"),
    ("auto:cpu>=1e3", "11: `1e3` at character 11 is no number"),
    ("auto:cpu~8", "9: `~` at character 9: cpu is a number, use == != >= > <= <"),
    ("auto:tags>=G", "10: `>=` at character 10: tags is text, use == != ~ !~ # !#"),
    ("auto:region==GRA 11", "17: ' ' at character 17 is no letter, digit or one of _ % - ."),
    ("auto:cpu>=8;ram>=4", "11: `8;ram>=4` at character 11 is no number"),
];

#[test]
fn sixty_filters_choose_what_the_table_says() {
    let known = "cpu ram disk gpumem cost eviction tags region provider name";
    assert!(TABLE.len() >= 60);
    for (text, expected) in TABLE {
        assert_eq!(chosen(text), *expected, "{text}");
    }
    assert_eq!(chosen("auto:cores>=8"), format!("6: `cores` at character 6: {known}"));
    assert_eq!(chosen("auto:cpu>=8:CPU>=8"), format!("13: `CPU` at character 13: {known}"));
}

#[test]
fn the_term_that_leaves_out_the_most_is_told() {
    let most = |flavor: &str, provider: Option<&str>, region: Option<&str>| {
        let selection = Selection {
            filter: flavor.parse().unwrap(),
            provider: provider.map(ProviderName::new),
            region: region.map(RegionName::new),
        };
        selection.most_excluding(&market()).map(|most| (most.term, most.count))
    };
    assert_eq!(most("auto:cpu>=1:ram>=1000", None, None), Some(("ram>=1000".into(), 6)));
    assert_eq!(most("auto:cpu>=1", Some("lab"), None), Some(("provider lab".into(), 5)));
    assert_eq!(most("auto:tags#M", None, Some("SBG5")), Some(("region SBG5".into(), 5)));
    assert_eq!(most("auto", None, None), Some(("eviction<=5 (implied)".into(), 1)));
    assert_eq!(most("none", None, None), Some(("name none".into(), 6)));
}

#[test]
fn preferred_regions_come_first_then_the_cheapest_and_unpriced_ones_last() {
    let market = market();
    let sorted = |pattern: Option<&str>| -> Vec<String> {
        let mut flavors: Vec<(&Flavor, Preference)> =
            market.iter().map(|flavor| (flavor, Preference::of(&flavor.region, pattern))).collect();
        flavors.sort_by(|a, b| order(*a, *b));
        flavors.iter().map(|(flavor, _)| flavor.name.to_string()).collect()
    };
    let cheap = ["d2-2", "Standard_D8s_v5", "b2-30", "bm-s1", "t2-45", "shape"];
    assert_eq!(sorted(None), cheap);
    assert_eq!(sorted(Some("SBG%"))[..2], ["t2-45", "d2-2"]);
}

proptest! {
    /// What is read is printed as what is read again.
    #[test]
    fn a_filter_is_the_same_after_it_was_printed(
        parts in prop::collection::vec("(cpu|ram|cost)(>=|<=|==|!=|>|<)[0-9]{1,3}|(tags|region)(~|#|!#|!~|==)[A-Za-z%-]{1,5}", 0..5)
    ) {
        let text = std::iter::once("auto".to_owned()).chain(parts).collect::<Vec<_>>().join(":");
        let filter: Filter = text.parse().unwrap();
        prop_assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
    }

    #[test]
    fn nothing_that_is_typed_is_too_strange(text in "(auto)?[a-z:<>=!~#%é0-9]{0,24}") {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(error.at >= 1 && error.at <= text.chars().count() + 1, "{} {}", text, error.at);
        }
    }

    #[test]
    fn likeness_is_that_of_a_regular_expression(text in "[abA]{0,8}", pattern in "[ab%]{0,6}") {
        let expression = format!("(?i)^{}$", pattern.replace('%', ".*"));
        let expected = regex::Regex::new(&expression).unwrap().is_match(&text);
        prop_assert_eq!(is_like(&text, &pattern), expected);
    }
}
