//! What the server is asked for the tasks that a filter lets through.

use strum::IntoEnumIterator;

use crate::api::task::ListTasks;
use crate::domain::filter::{Filter, Sign, Term, What};
use crate::domain::task::TaskState;

/// A query of which one thing is still to be found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskQuery {
    pub list: ListTasks,
    /// The name of the worker, whose id is not known yet.
    pub worker: Option<String>,
}

/// The query for a filter. What has an index goes there, the rest is looked
/// for by the server as well, task by task.
#[must_use]
pub fn task_query(filter: &Filter) -> TaskQuery {
    let mut query = TaskQuery::default();
    let states = filter.states();
    if states.len() < TaskState::iter().count() {
        let words: Vec<String> = states.iter().map(ToString::to_string).collect();
        query.list.state = Some(words.join(","));
    }
    let is_left = |term: &&Term| !(matches!(term.what, What::State(_)) || ask(&mut query, term));
    let rest: Vec<Term> = filter.terms().iter().filter(is_left).cloned().collect();
    if !rest.is_empty() {
        query.list.filter = Some(Filter::of_terms(rest).text().to_owned());
    }
    query
}

/// Puts a term where there is an index for it, unless that is taken.
fn ask(query: &mut TaskQuery, term: &Term) -> bool {
    if term.sign == Sign::Lacks {
        return false;
    }
    let list = &mut query.list;
    match &term.what {
        What::Batch(name) if list.batch.is_none() => list.batch = Some(name.clone()),
        What::Worker(name) if query.worker.is_none() => query.worker = Some(name.clone()),
        What::Name(pattern) if list.name.is_none() => list.name = Some(pattern.clone()),
        What::Tag(tag) if list.tag.is_none() => list.tag = Some(tag.clone()),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_an_index_is_asked_there_and_the_rest_as_it_was_typed() {
        let filter = Filter::parse("align batch:x worker:node1 !state:failed !dry /a+/").unwrap();
        let query = task_query(&filter);
        assert_eq!(query.list.batch.as_ref().unwrap().as_str(), "x");
        assert_eq!(query.worker.as_deref(), Some("node1"));
        assert!(!query.list.state.as_ref().unwrap().contains("failed"));
        assert_eq!(query.list.filter.as_deref(), Some("align !dry /a+/"));
        assert_eq!(task_query(&Filter::parse("batch:x state:failed").unwrap()).list.filter, None);
    }

    #[test]
    fn of_two_that_cannot_both_be_asked_by_an_index_one_is_left() {
        let query = task_query(&Filter::parse("name:a* name:*b !batch:x").unwrap());
        assert_eq!(query.list.name.as_deref(), Some("a*"));
        assert_eq!(query.list.filter.as_deref(), Some("name:*b !batch:x"));
    }
}
