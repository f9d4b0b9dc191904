//! Tests of the whole: each starts the real program and looks at it from outside.

mod tidy;
