//! Values of options of any content: taken or refused, and never a panic.

use std::time::Duration;

use proptest::prelude::*;

use super::parse::{self, IdList};
use crate::domain::TaskId;

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in ".*|[-0-9]{0,25}[smhd]?|[A-Z]{0,3}=?.{0,5}|[0-9, \t]{0,20}") {
        let _ = parse::duration(&text);
        let _ = parse::wait(&text);
        let _ = parse::id::<TaskId>(&text);
        let _ = parse::count::<u64>(&text);
        if let Ok((name, value)) = parse::environment_pair(&text) {
            prop_assert!(!name.is_empty() && !name.contains('='));
            prop_assert_eq!(format!("{name}={value}"), text.clone());
        }
        if let Ok(seconds) = parse::limit_seconds(&text) {
            prop_assert_eq!(parse::duration(&text), Ok(Duration::from_secs(seconds.into())));
        }
        if let Ok(ids) = text.parse::<IdList<TaskId>>() {
            let joined: Vec<String> = ids.0.iter().map(TaskId::to_string).collect();
            prop_assert_eq!(joined.join(",").parse::<IdList<TaskId>>(), Ok(ids));
        }
    }

    #[test]
    fn a_duration_is_what_its_unit_says(number in 0..1_000_000_u64) {
        let units = [("", 1), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        for (unit, seconds) in units {
            let read = parse::duration(&format!("{number}{unit}"));
            prop_assert_eq!(read, Ok(Duration::from_secs(number * seconds)));
        }
    }
}
