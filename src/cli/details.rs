//! One object shown whole: a line for each thing that it has.

use std::fmt::Display;

use super::error::CliError;
use super::format;
use super::output::{Output, Paint};

/// Lines of label and value; what is absent has no line.
#[derive(Debug, Default)]
pub struct Details {
    lines: Vec<(&'static str, String, Paint)>,
}

impl Details {
    /// A line.
    pub fn add(&mut self, label: &'static str, value: impl Display) -> &mut Self {
        self.painted(label, value, Paint::Plain)
    }

    /// A line in a colour.
    pub fn painted(&mut self, label: &'static str, value: impl Display, paint: Paint) -> &mut Self {
        let text = value.to_string();
        self.lines.push((label, format::visible(&text).into_owned(), paint));
        self
    }

    /// A line where there is a value.
    pub fn maybe(&mut self, label: &'static str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.add(label, value);
        }
        self
    }

    /// A line for each value, under one label.
    pub fn each(
        &mut self,
        label: &'static str,
        values: impl IntoIterator<Item = impl Display>,
    ) -> &mut Self {
        for (position, value) in values.into_iter().enumerate() {
            self.add(if position == 0 { label } else { "" }, value);
        }
        self
    }

    /// Prints the lines, values under one another.
    pub fn print(&self, output: &Output) -> Result<(), CliError> {
        let width = self.lines.iter().map(|(label, ..)| label.len()).max().unwrap_or(0);
        for (label, value, paint) in &self.lines {
            let label = output.paint(format_args!("{label:width$}"), Paint::Strong).to_string();
            output.line(format_args!("{label}  {}", output.paint(value, *paint)))?;
        }
        Ok(())
    }
}
