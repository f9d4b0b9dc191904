//! From the fields of an old client to a specification.

use crate::domain::TaskId;
use crate::domain::batch::BatchName;
use crate::domain::task::{Command, TaskSpec};

use super::body::Fields;
use super::error::{V1Error, V1Result};

/// A new task. `status` and what is not about the task itself is left out.
pub(super) fn new(fields: &Fields) -> V1Result<TaskSpec> {
    let mut spec = TaskSpec::new(Command::Line(fields.required("command")?));
    patch(&mut spec, fields)?;
    Ok(spec)
}

/// Sets what is named, and leaves the rest as it is. An empty text or a 0 takes
/// away what was set.
pub(super) fn patch(spec: &mut TaskSpec, fields: &Fields) -> V1Result<()> {
    if let Some(command) = fields.text("command")? {
        let unchanged = super::print::command_line(spec) == command;
        if !unchanged {
            spec.command = Command::Line(command);
            spec.shell = None;
        }
    }
    if let Some(name) = fields.text("name")? {
        spec.name = Some(name).filter(|name| !name.is_empty());
    }
    if let Some(batch) = fields.word("batch")? {
        spec.batch = batch_name(batch)?;
    }
    if let Some(input) = fields.text("input")? {
        spec.input = uris(&input);
    }
    if let Some(resource) = fields.text("resource")? {
        spec.resource = uris(&resource);
    }
    if let Some(output) = fields.text("output")? {
        // The original completes a folder that has no slash at its end.
        let slash = if output.ends_with('/') { "" } else { "/" };
        spec.output = (!output.trim().is_empty()).then(|| format!("{}{slash}", output.trim()));
    }
    if let Some(container) = fields.text("container")? {
        spec.container = Some(container).filter(|image| !image.is_empty());
    }
    if let Some(options) = fields.text("container_options")? {
        spec.container_options = Some(options).filter(|options| !options.trim().is_empty());
    }
    if let Some(retry) = fields.count("retry")? {
        spec.retry = Some(retry);
    }
    if let Some(seconds) = fields.count("download_timeout")? {
        spec.download_timeout = Some(seconds).filter(|seconds| *seconds > 0);
    }
    if let Some(seconds) = fields.count("run_timeout")? {
        spec.run_timeout = Some(seconds).filter(|seconds| *seconds > 0);
    }
    if let Some(required) = fields.integers("required_task_ids")? {
        spec.after = required
            .into_iter()
            .map(|id| {
                let id = u64::try_from(id).ok().and_then(|id| TaskId::try_from(id).ok());
                id.ok_or_else(|| V1Error::invalid("required_task_ids has a number that is no id"))
            })
            .collect::<V1Result<Vec<TaskId>>>()?;
    }
    // Without an output there is nothing that could be taken over.
    let use_cache = fields.flag("use_cache")?.unwrap_or(spec.use_cache);
    spec.use_cache = use_cache && spec.output.is_some();
    Ok(())
}

pub(super) fn batch_name(name: String) -> V1Result<BatchName> {
    BatchName::try_from(name).map_err(|error| V1Error::invalid(error.to_string()))
}

fn uris(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
