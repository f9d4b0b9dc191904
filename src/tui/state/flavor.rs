//! Which of the flavors that can be hired the recruiting form asks for.

use super::recruit::RecruitForm;
use crate::api::hiring::FlavorView;
use crate::domain::flavor::Flavor;
use crate::domain::protofilter::Filter;

/// The flavors that a form asks for, in the order in which they are taken.
#[must_use]
pub fn matching<'a>(form: &RecruitForm, flavors: &'a [FlavorView]) -> Vec<&'a FlavorView> {
    let filter = filter_of(form);
    flavors.iter().filter(|view| fits(form, filter.as_ref(), &view.flavor, None)).collect()
}

/// What a field may be completed to, given what stands in the others.
#[must_use]
pub fn candidates(form: &RecruitForm, flavors: &[FlavorView]) -> Vec<String> {
    let of: fn(&Flavor) -> &str = match form.focused() {
        "flavor" => |flavor| flavor.name.as_str(),
        "region" => |flavor| flavor.region.as_str(),
        "provider" => |flavor| flavor.provider.as_str(),
        _ => return Vec::new(),
    };
    let filter = filter_of(form);
    let without = Some(form.focused());
    let fitting = flavors.iter().map(|view| &view.flavor);
    let fitting = fitting.filter(|flavor| fits(form, filter.as_ref(), flavor, without));
    let mut words: Vec<String> = fitting.map(|flavor| of(flavor).to_owned()).collect();
    words.sort();
    words.dedup();
    words
}

/// What stands in the field of the flavor; none while it makes no sense yet.
fn filter_of(form: &RecruitForm) -> Option<Filter> {
    form.value("flavor").parse().ok()
}

/// Whether a flavor fits all fields but the one that is being completed. A name that is
/// not whole yet stands for all that begin with it.
fn fits(
    form: &RecruitForm,
    filter: Option<&Filter>,
    flavor: &Flavor,
    without: Option<&str>,
) -> bool {
    let is_free = |field: &str| without == Some(field) || matches!(form.value(field), "" | "auto");
    let fits_flavor = match filter {
        _ if without == Some("flavor") || form.value("flavor").is_empty() => true,
        Some(Filter::Named(name)) => flavor.name.as_str().starts_with(name),
        Some(filter) => filter.fits(flavor),
        None => false,
    };
    fits_flavor
        && (is_free("region") || flavor.region.as_str() == form.value("region"))
        && (is_free("provider") || flavor.provider.as_str() == form.value("provider"))
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
        let of = |view: &&FlavorView| format!("{} {}", view.flavor.name, view.flavor.region);
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
